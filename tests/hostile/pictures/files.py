"""What a hostile file is, what has to become of it, and the two pictures that such files are made of."""

import dataclasses
import functools
import io
import re
from collections.abc import Iterator
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.paths import ASTRONAUT
from tests.helpers.requests import BOX

Shown = Literal["portrait", "quarters", ""]

# The portrait's part of the astronaut's photo: its width and height differ, as orientation has to be seen.
_LEFT, _TOP, WIDTH, HEIGHT = 64, 0, 320, 400
# Where the face lies in it: left, top, right, bottom.
FACE = tuple(float(value) for value in BOX - np.array([_LEFT, _TOP, _LEFT, _TOP], dtype=np.float32))
FACE_TOLERANCE = 14.0  # pixels of the portrait
# The drawn picture's quarters, from the upper left to the lower right.
_QUARTERS = (((220, 40, 30), (40, 180, 60)), ((40, 60, 200), (230, 210, 60)))
DRAWN = (60, 44)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answered:
    """The picture is decoded.

    size        width and height, upright
    shows       what is on it, the right way up; "" where damage or design leaves nothing to compare
    tolerance   mean difference of the pixels, of 255
    may_refuse  a sentence of these words will do as well: where it is a decoder's choice
    """

    size: tuple[int, int]
    shows: Shown = ""
    tolerance: float = 6.0
    may_refuse: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refused:
    """The picture is refused in a sentence in which these words (a regular expression) are found."""

    words: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostileFile:
    """One file.

    kind    the row that it stands in, in a table of results
    """

    name: str
    kind: str
    data: bytes
    expect: Answered | Refused


# Name, bytes and expectation of each file of a kind.
Files = Iterator[tuple[str, bytes, Answered | Refused]]


def of_kind(kind: str, files: Files, *, form: str = "") -> Iterator[HostileFile]:
    """The files of a kind; their names begin with the `form`."""
    for name, data, expect in files:
        yield HostileFile(name=f"{form}: {name}" if form else name, kind=kind, data=data, expect=expect)


@functools.cache
def portrait() -> Image.Image:
    """The portrait, WIDTH x HEIGHT, RGB."""
    with Image.open(ASTRONAUT) as photo:
        return photo.convert("RGB").crop((_LEFT, _TOP, _LEFT + WIDTH, _TOP + HEIGHT))


@functools.cache
def quarters() -> Image.Image:
    """Four colours, 60 x 44, RGB: which way up it is can be seen in any of them."""
    colours = np.asarray(_QUARTERS, dtype=np.uint8)
    return Image.fromarray(cv2.resize(colours, DRAWN, interpolation=cv2.INTER_NEAREST))


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


PORTRAIT = Answered(size=(WIDTH, HEIGHT), shows="portrait")
QUARTERS = Answered(size=DRAWN, shows="quarters")

CUT, DAMAGED = Refused(words="cut short"), Refused(words="is damaged")
UNDECODABLE = Refused(words="can't be decoded")
LARGE = Refused(words="more than the 50,000,000 accepted")


def flaw_of(pixels: NDArray[np.uint8], expect: Answered) -> str:
    """What decoded pixels have wrong; "" for nothing."""
    height, width, _ = pixels.shape
    if (width, height) != expect.size:
        return f"it is {width} x {height}, and not {expect.size[0]} x {expect.size[1]}"
    if not expect.shows:
        return ""
    image = portrait() if expect.shows == "portrait" else quarters()
    wanted = np.asarray(image.resize(expect.size), dtype=np.int16)
    difference = float(np.abs(wanted - pixels).mean())
    if difference > expect.tolerance:
        return f"its pixels differ from the {expect.shows} by {difference:.1f} of 255 on average"
    return ""


def refusal_flaw(sentence: str, expect: Answered | Refused) -> str:
    """What a refusal has wrong; "" where it is the expected one, in one printable sentence."""
    words = expect.words if isinstance(expect, Refused) else expect.may_refuse
    if not words:
        return f"it was refused: {sentence}"
    if not re.search(words, sentence):
        return f"it was refused in other words than {words!r}: {sentence}"
    if not sentence.isprintable() or len(sentence) > 500 or ".py" in sentence or "Traceback" in sentence:
        return f"it was refused in what is no sentence: {sentence[:500]!r}"
    return ""


def face_flaw(boxes: NDArray[np.float32], expect: Answered) -> str:
    """What the boxes [N, 4] (pixels of the upright photo) of an answer have wrong; "" for nothing.

    The portrait has one face, near its place; the drawn picture has none.
    """
    if not np.isfinite(boxes).all():
        return "a box is not finite"
    if expect.shows == "quarters":
        return f"{len(boxes)} faces were found where there is none" if len(boxes) else ""
    if expect.shows == "portrait":
        if len(boxes) != 1:
            return f"{len(boxes)} faces were found where there is one"
        scale = np.array(expect.size * 2) / np.array((WIDTH, HEIGHT) * 2)
        off = float((np.abs(boxes[0] - np.array(FACE) * scale) / scale).max())
        return f"the face lies {off:.0f} pixels from its place" if off > FACE_TOLERANCE else ""
    return ""
