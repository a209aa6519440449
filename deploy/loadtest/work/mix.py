"""Entries of a mix: `photo:8@1080p=2` is twice as often as `crop=1` a photo of 1920 x 1080 with 8 faces."""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Self

_ENTRY = re.compile(r"(?P<sort>[^:@=]+)(:(?P<faces>[^:@=]*))?(@(?P<size>[^:@=]*))?(=(?P<share>[^:@=]*))?")
_PIXELS = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_MEGAPIXELS = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)mp")
_SIZES: Mapping[str, tuple[int, int]] = {
    "480p": (640, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "2160p": (3840, 2160),
    "4k": (3840, 2160),
}
_LARGEST = 200.0  # megapixels: more is not made here, and taken by no server
_MOST_FACES = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One sort of request in a mix.

    sort    what is sent: a key of `requests.SORTS`
    faces   in a photo, or crops in a request
    size    width and height of the photo in pixels; None: as the portrait is, or 1080p for several faces
    share   of the requests, beside the other entries'
    text    of faces and size as they were given, for the name in reports
    """

    sort: str
    faces: int = 1
    size: tuple[int, int] | None = None
    share: float = 1.0
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """KIND[:FACES][@SIZE][=SHARE]; ValueError with a sentence for anything else."""
        found = _ENTRY.fullmatch(text.strip())
        if found is None:
            raise ValueError(
                f"{text!r} is no entry of a mix: give KIND[:FACES][@SIZE]=SHARE, as photo:8@1080p=2"
            )
        size = found["size"]
        return cls(
            sort=found["sort"],
            faces=1 if found["faces"] is None else _faces(found["faces"], text),
            size=None if size is None else _size(size, text),
            share=1.0 if found["share"] is None else _share(found["share"], text),
            text=size or "",
        )

    @property
    def made(self) -> bool:
        """Whether its picture is made for it."""
        return self.size is not None or self.faces > 1

    @property
    def name(self) -> str:
        """In reports."""
        faces = f"{self.faces} faces" if self.faces > 1 else ""
        return ", ".join(part for part in (self.sort, faces, self.text) if part)


def _faces(word: str, text: str) -> int:
    if not word.isdecimal() or not 1 <= int(word) <= _MOST_FACES:
        raise ValueError(f"{text!r} has {word!r} faces: give a whole number from 1 to {_MOST_FACES}")
    return int(word)


def _share(word: str, text: str) -> float:
    try:
        share = float(word)
    except ValueError:
        share = math.nan
    if not 0 < share < math.inf:
        raise ValueError(f"{text!r} has the share {word!r}: give a number above 0")
    return share


def _size(word: str, text: str) -> tuple[int, int]:
    lower = word.lower()
    if lower in _SIZES:
        return _SIZES[lower]
    if pixels := _PIXELS.fullmatch(lower):
        size = int(pixels[1]), int(pixels[2])
    elif megapixels := _MEGAPIXELS.fullmatch(lower):
        height = math.sqrt(float(megapixels[1]) * 1e6 * 3 / 4)
        size = round(height * 4 / 3), round(height)
    else:
        raise ValueError(
            f"{text!r} has the size {word!r}: give {', '.join(_SIZES)}, 12mp or the like (4:3), or 800x600"
        )
    if min(size) < 32 or size[0] * size[1] > _LARGEST * 1e6:
        raise ValueError(
            f"{text!r} has the size {word!r}: give one of 32 x 32 pixels or more, and of {_LARGEST:g} "
            "megapixels or fewer"
        )
    return size
