"""The exit statuses of every command.

0    all photos were answered (a photo without a face is one answer)
1    the server could not be reached or failed, or an output can't be written
2    a photo could not be read (the others are still answered), the command is wrong, or the server
     refuses the caller
130  Ctrl-C
141  who reads standard output has gone
"""

from ..errors import InvalidInput, NotAuthorized, QFaceError, UnknownModel, UnknownTask

OK, SERVER_FAILED, BAD_INPUT, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141


def of(error: QFaceError) -> int:
    """The status of a command that `error` ends."""
    mistakes = InvalidInput | UnknownTask | UnknownModel | NotAuthorized
    return BAD_INPUT if isinstance(error, mistakes) else SERVER_FAILED
