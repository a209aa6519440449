"""Renders a kept run again: `python -m deploy.loadtest.report FOLDER/report.json`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.loadtest.report import JSON, write_renderings
from deploy.loadtest.results import Run


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0, or 2 with one sentence on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.loadtest.report",
        description="Renders a kept load test again: report.md and report.html beside its report.json.",
    )
    parser.add_argument("run", type=Path, help=f"{JSON}, or the folder that holds it")
    given = parser.parse_args(arguments).run
    path = given / JSON if given.is_dir() else given
    try:
        write_renderings(Run.read(path), path.parent)
    except (ValueError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
