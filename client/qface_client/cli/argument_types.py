"""Types of arguments, each refused with a sentence before anything is sent."""

import argparse
import math


def seconds(text: str) -> float:
    """A finite number of seconds above 0."""
    number = _number(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, not {text!r}")
    return number


def share(text: str) -> float:
    """A number above 0 and at most 1."""
    number = _number(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"a number above 0 and at most 1, not {text!r}")
    return number


def probability(text: str) -> float:
    """A number from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"a number from 0 to 1, not {text!r}")
    return number


def whole_number(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if not 0 < number < 1 << 63:  # what the protocol can send
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text!r}")
    return number


def names(text: str) -> list[str]:
    """Names of tasks with commas between them."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("names of tasks with commas between them, like `age,gender`")
    return found


def _number(text: str) -> float:
    """NaN, which lies in no range, where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
