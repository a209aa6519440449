"""What the command lines of programs that measure have in common."""

import argparse
import functools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from deploy.embedded.environment import PROJECT

NOT_MEASURED, INTERRUPTED = 2, 130  # exit statuses


class Main(Protocol):
    """A program: its arguments (None: those of the process) to its exit status."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int: ...


def parser_of(
    module: str,
    doc: str | None,
    *,
    repository: bool = False,
    rounds: int | None = None,
    seconds: float | None = None,
    seconds_of: str = "of a round",
) -> argparse.ArgumentParser:
    """The parser of a module that `python -m` runs, described by the first line of its docstring.

    repository, rounds, seconds     the options of these names, the latter two with their defaults
    seconds_of                      what lasts so long
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=(doc or "").partition("\n")[0])
    if repository:
        parser.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    if rounds is not None:
        parser.add_argument("--rounds", type=count, default=rounds, help="(default: %(default)s)")
    if seconds is not None:
        help_ = f"{seconds_of} (default: %(default)s)"
        parser.add_argument("--seconds", type=positive, default=seconds, help=help_)
    return parser


def count(text: str) -> int:
    """The value of an option that is 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is too few: give 1 or more")
    return value


def positive(text: str) -> float:
    """The value of an option that is above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} can't be: give a number above 0")
    return value


def command(name: str, *errors: type[Exception]) -> Callable[[Main], Main]:
    """A main function that returns 2, with a sentence on standard error, where nothing could be measured.

    errors: that mean so, beside ValueError and OSError. The status is 130 after Ctrl-C.
    """

    caught: tuple[type[Exception], ...] = (*errors, ValueError, OSError)

    def decorate(main: Main) -> Main:
        @functools.wraps(main)
        def run(arguments: Sequence[str] | None = None) -> int:
            try:
                return main(arguments)
            except caught as error:
                print(f"{name}: {error}", file=sys.stderr)
                return NOT_MEASURED
            except KeyboardInterrupt:
                print(f"{name}: interrupted", file=sys.stderr)
                return INTERRUPTED

        return run

    return decorate
