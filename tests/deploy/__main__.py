"""The heavy checks of deployment, one after the other, each to its end: `make check-deploy`.

A check is a module `check_NAME.py` of this folder. It runs alone as `python -m tests.deploy.check_NAME`,
writes what it found to `--report FILE`, and ends with 0 where everything that it looks at held.
"""

import argparse
import datetime
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.helpers.paths import ROOT

_PREFIX = "check_"


def checks() -> list[str]:
    """The names of all checks, sorted."""
    return sorted(path.stem.removeprefix(_PREFIX) for path in Path(__file__).parent.glob(f"{_PREFIX}*.py"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the checks; 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=checks(), default=checks(), help="these checks alone")
    parser.add_argument(
        "--reports", type=Path, default=ROOT / "var" / "check-deploy", help="folder for the reports"
    )
    options = parser.parse_args(arguments)
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    options.reports.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in options.only:
        began = time.monotonic()
        report = options.reports / f"{today}-{name.replace('_', '-')}.md"
        status = subprocess.run(
            [sys.executable, "-m", f"tests.deploy.{_PREFIX}{name}", "--report", str(report)],
            cwd=ROOT,
            check=False,
        ).returncode
        print(
            f"{name}: {'held' if status == 0 else 'FAILED'} in {time.monotonic() - began:.0f} s, {report}",
            flush=True,
        )
        if status:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
