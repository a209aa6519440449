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


def complete_standard_streams() -> None:
    """Opens those that the caller closed (`>&-`): the next file would get their place, and what is printed.

    Standard output can't be written then, as before; nothing is on standard input.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            access = os.O_WRONLY if name == "stderr" else os.O_RDONLY
            setattr(sys, name, os.fdopen(os.open(os.devnull, access), mode))


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
    tqdm.write(f"qface: {one_line(sentence)}", file=sys.stderr)


def printable(text: str) -> str:
    """A server's text, or a file's name, as a terminal may have it: what would control it is escaped."""
    return "".join(
        character if character.isprintable() or character == "\n" else _escaped(character)
        for character in text
    )


def one_line(text: str) -> str:
    """A sentence that may have a server's words or a file's name in it, as one line of a terminal."""
    return printable(" ".join(text.split()))


def name_in_line(name: str) -> str:
    """A file's name as a part of a line: its spaces stay."""
    return printable(name).replace("\n", _escaped("\n"))


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


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
