"""What commands print: results on standard output, everything else on standard error."""

import contextlib
import os
import sys

from tqdm import tqdm

from . import statuses


class NoOutput(Exception):
    """Standard output, or the file that it names, can't be written; the cause is its OSError."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.name = name


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


def one_line(text: str) -> str:
    """A sentence that may have a server's words in it, as one line of a terminal."""
    return printable(" ".join(text.split()))


def status_without_output(error: NoOutput) -> int:
    """The status of a command that ends because it can't write."""
    cause = error.__cause__
    if not error.name:
        # What is still in the buffer would be tried, and complained about, once more at the end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(cause, BrokenPipeError):  # `qface ... | head`: who reads has enough
        return statuses.NO_READER
    what = error.name or "standard output"
    log(f"{what} can't be written: {getattr(cause, 'strerror', None) or cause}")
    return statuses.SERVER_FAILED
