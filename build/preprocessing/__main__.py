"""Writes down the pipeline that decodes and warps faces on a GPU, for machines where DALI is not installed.

    python -m build.preprocessing --output face_warp.dali
    python -m build.stages.repository --target ... --dali-pipeline face_warp.dali

It needs DALI (`pip install nvidia-dali-cuda120`), but no GPU. Take the version that the serving container's
DALI backend has: an older one may not read what a newer one wrote.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from build.cli import run_cli
from build.errors import BuildError
from build.files import replace_file, why_unwritten
from build.options import from_options, option, parser_of
from build.preprocessing.dali_pipeline import serialised

PROGRAM = "build.preprocessing"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the command writes."""

    output: Path = option(help="the file to write")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, or 2 with one sentence on standard error."""
    options = parser_of(Inputs, program=PROGRAM, description=__doc__).parse_args(arguments)
    inputs = from_options(Inputs, options)

    def write() -> int:
        content = serialised()
        try:
            replace_file(inputs.output, content)
        except OSError as error:
            raise BuildError(
                f"{inputs.output} can't be written {why_unwritten(error, size=len(content))}"
            ) from None
        print(inputs.output)
        return 0

    return run_cli(PROGRAM, write)


if __name__ == "__main__":
    sys.exit(main())
