"""python -m deploy.web.bundle: makes what the browser computes with, and prints what the page weighs.

Exit status: 0 where the bundle is there, 1 with a sentence where it can't be made.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from build.errors import BuildError
from build.options import from_options, option, parser_of
from deploy.web.bundle.contents import BUNDLE
from deploy.web.bundle.make import make_bundle
from deploy.web.weight import table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """Where the bundle is made, and what of."""

    output: Path = option(
        help="the bundle, a link to a folder beside it (default: var/web/bundle)", default=BUNDLE
    )
    package: Path | None = option(
        help="what `npm pack onnxruntime-web` makes, where this machine reaches no registry", default=None
    )
    quiet: bool = option(help="no table, and no line where there is nothing to do", default=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = parser_of(Inputs, program="deploy.web.bundle", description=__doc__)
    inputs = from_options(Inputs, parser.parse_args(arguments))
    try:
        made = make_bundle(inputs.output, package=inputs.package, log=_say)
    except BuildError as error:
        print(f"qface: the browser's network was not made: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if made or not inputs.quiet:
        _say(f"{inputs.output} is {'made' if made else 'up to date'}")
    if not inputs.quiet:
        _say(table(bundle=inputs.output))
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
