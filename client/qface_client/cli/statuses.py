"""The exit statuses of every command."""

import textwrap
from collections.abc import Mapping

from ..errors import InvalidInput, NotAuthorized, QFaceError, UnknownModel, UnknownTask

OK, SERVER_FAILED, BAD_INPUT, INTERRUPTED, NO_READER, TERMINATED = 0, 1, 2, 130, 141, 143

MEANINGS: Mapping[int, str] = {
    OK: "everything was answered; a photo without a face is an answer",
    SERVER_FAILED: "the server failed or could not be reached, or an output can't be written; `doctor`: "
    "something is wrong",
    BAD_INPUT: "a photo could not be used (the others are still answered), the command is wrong, or the "
    "server refuses the caller",
    INTERRUPTED: "Ctrl-C; what was answered is kept",
    NO_READER: "what reads standard output has gone",
    TERMINATED: "SIGTERM; otherwise as Ctrl-C",
}


def of(error: QFaceError) -> int:
    """The status of a command that `error` ends."""
    mistakes = InvalidInput | UnknownTask | UnknownModel | NotAuthorized
    return BAD_INPUT if isinstance(error, mistakes) else SERVER_FAILED


def in_lines() -> str:
    """What each means, a line each."""
    return "\n".join(
        textwrap.fill(f"  {status:<5}{meaning}", 100, subsequent_indent=" " * 7)
        for status, meaning in MEANINGS.items()
    )
