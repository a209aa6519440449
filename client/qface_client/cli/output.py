"""What commands print: results on standard output, everything else on standard error."""

import contextlib
import os
import sys

from tqdm import tqdm

from . import statuses


class NoOutput(Exception):
    """Standard output can't be written; the cause is its OSError."""


def write(text: str) -> None:
    """To standard output at once; past the progress bar where both may be on one screen."""
    try:
        if sys.stderr.isatty():
            tqdm.write(text, file=sys.stdout)
        else:
            print(text)
        sys.stdout.flush()
    except OSError as error:
        raise NoOutput from error


def log(sentence: str) -> None:
    """One line on standard error, above the progress bar if there is one."""
    tqdm.write(f"qface: {' '.join(sentence.split())}", file=sys.stderr)


def printable(text: str) -> str:
    """A server's text as a terminal may have it."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def status_without_output(error: BaseException | None) -> int:
    """The status of a command that can't write to standard output, because of `error`."""
    # What is still in the buffer would be tried, and complained about, once more at the end.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):  # `qface ... | head`: who reads has enough
        return statuses.NO_READER
    log(f"standard output can't be written: {getattr(error, 'strerror', None) or error}")
    return statuses.SERVER_FAILED
