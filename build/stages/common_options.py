"""Options that several commands of the build share, each spelled here alone."""

import argparse
from typing import Any

from build.files import ROOT
from build.options import option

PHOTO = ROOT / "tests" / "assets" / "astronaut.jpg"
VAR = ROOT / "var"


def photo_option() -> Any:
    """Whose faces answers are compared on."""
    return option(help="a photo; answers are compared on crops of the faces in it", default=PHOTO)


def detector_option() -> Any:
    """The face detector's file; None: the installed package's."""
    return option(help="the face detector's .tflite (default: the installed package's)", default=None)


def calibration_option() -> Any:
    """The pictures that a quantiser is fitted to."""
    return option(help="a directory of 500 or more pictures of people, for int8 and fp8", default=None)


def output_option(help: str) -> Any:
    """Where everything that is built is kept."""
    return option(help=f"{help} (default: var)", default=VAR)


def names(text: str) -> tuple[str, ...]:
    """Names that are separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def numbers(text: str) -> tuple[int, ...]:
    """Numbers that are separated by commas."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"numbers with commas between them, not {text!r}") from None
