"""The command line: `qface COMMAND`.

A command is a module here with `add(commands, parents)`, which adds its parser, and `run(options)`, which
returns the exit status (`statuses`). `parser` puts them together. docs/client/command-line.md is the guide.
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ConnectError, QFaceError
from . import interruption, output, parser, statuses


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    output.complete_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is escaped rather than an end to everything.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of a photo's metadata, in lines of its own
    whole = parser.make_parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        whole.print_help(sys.stderr)
        return statuses.BAD_INPUT
    options = whole.parse_args(arguments)
    options.words = sys.argv[1:] if arguments is None else list(arguments)  # as they were typed
    run: Callable[[Any], int] = options.run
    try:
        with interruption.terminations_raised():
            return run(options)
    except QFaceError as error:
        hint = "; `qface doctor` looks for what is in the way" if isinstance(error, ConnectError) else ""
        output.log(f"{error}{hint}")
        return statuses.of(error)
    except output.NoOutput as error:
        return output.status_without_output(error)
    except KeyboardInterrupt as interrupted:
        if arguments is None:  # the program itself, which ends now
            interruption.end_at_once_from_now_on()
        by_signal = isinstance(interrupted, interruption.Terminated)
        return statuses.TERMINATED if by_signal else statuses.INTERRUPTED
