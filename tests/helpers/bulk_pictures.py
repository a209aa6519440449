"""Pictures of every sort in one folder or bucket, few kilobytes each and the same at every run.

Most are made of the portraits and of the rendered heads: other sizes, crops, light, formats, qualities and
Exif orientations, collages. Others show no face, and a few can't be read. `SORTS` has them all.
"""

import dataclasses
import functools
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.measuring.pictures.collages import Portrait, collage
from deploy.measuring.pictures.photos import FACE, read_rgb
from tests.helpers.encoded_pictures import STORED_AS
from tests.helpers.paths import ASSETS, ASTRONAUT

Pixels = NDArray[np.uint8]
Make = Callable[[np.random.Generator], tuple[str, bytes]]  # to a suffix and a file's bytes

_SEED = 19
_ORIENTATION = 0x0112  # Exif's tag
CROWD = 200  # faces
HUGE = (8000, 6250)  # pixels: 50 million, the most that is decoded


@dataclasses.dataclass(frozen=True, kw_only=True)
class BulkPicture:
    """A file of a source: its path in it, with "/"; its bytes; a name of `SORTS`."""

    name: str
    data: bytes
    sort: str

    @property
    def readable(self) -> bool:
        """Whether it can be decoded."""
        return SORTS[self.sort].readable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sort:
    """How a sort of file is made of a source of random numbers, and whether it can be decoded."""

    make: Make
    readable: bool = True


def bulk_pictures(count: int, *, large: bool = False) -> Iterator[BulkPicture]:
    """So many files, made one after the other; the first `n` are those of `bulk_pictures(n)`.

    large: with one of 50 megapixels and one of 200 faces among the first 40, which take seconds to answer.
    """
    for number in range(count):
        sort = _sort_of(number, large=large)
        suffix, data = SORTS[sort].make(np.random.default_rng((_SEED, number)))
        yield BulkPicture(name=_name(number, suffix), data=data, sort=sort)


def write_pictures(folder: Path, pictures: Iterable[BulkPicture]) -> dict[str, BulkPicture]:
    """The files below a folder; by their names, without their bytes' being kept."""
    written = {}
    for picture in pictures:
        path = folder / picture.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.data)
        written[picture.name] = dataclasses.replace(picture, data=b"")
    return written


# -- which sort, under which name -------------------------------------------------------------------

_LARGE = {13: "crowd", 29: "huge"}
# In each 200 files one of each sort that can't be read, all of them among the first 40.
_BROKEN = {3: "empty", 9: "truncated", 17: "cut header", 23: "noise", 31: "page", 37: "too many pixels"}
_PERIOD = 200
_COMMON = ("portrait",) * 9 + ("render",) * 5 + ("faceless",) * 4 + ("collage",) * 2
# Characters that an address, a pattern or a shell takes for something else.
_ODD_NAMES = ("white space", "per%20cent", "plus+and#hash", "ünï 写真", "a=b&c", "star*[1]", "quest?ion")


def _sort_of(number: int, *, large: bool) -> str:
    if large and number in _LARGE:
        return _LARGE[number]
    broken = _BROKEN.get(number % _PERIOD)
    return broken or _COMMON[int(np.random.default_rng((_SEED, number, 1)).integers(len(_COMMON)))]


def _name(number: int, suffix: str) -> str:
    """Three folders deep; every ninth has an odd name."""
    odd = f" {_ODD_NAMES[number // 9 % len(_ODD_NAMES)]}" if number % 9 == 0 else ""
    folder = ("", "album/", "album/2026 summer/")[number % 3]
    return f"{folder}{number:06}{odd}{suffix}"


# -- pixels -----------------------------------------------------------------------------------------


@functools.cache
def _portraits() -> tuple[Pixels, ...]:
    return tuple(read_rgb(path) for path in (ASTRONAUT, *sorted(ASSETS.glob("portraits/*.jpg"))))


@functools.cache
def _renders() -> tuple[Pixels, ...]:
    return tuple(read_rgb(path) for path in sorted(ASSETS.glob("heads/*.webp")))


def _varied(pixels: Pixels, random: np.random.Generator, *, sides: tuple[int, int]) -> Pixels:
    """A cut of the picture around its middle, of another size and in another light, mirrored or not."""
    height, width = pixels.shape[:2]
    low = (random.uniform(0.0, 0.08, 2) * (height, width)).astype(int)
    high = (height, width) - (random.uniform(0.0, 0.12, 2) * (height, width)).astype(int)
    pixels = pixels[low[0] : high[0], low[1] : high[1]]
    zoom = random.uniform(*sides) / max(pixels.shape)
    small = cv2.resize(pixels, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA).astype(np.float32)
    lit = np.clip(small * random.uniform(0.7, 1.2) + random.uniform(-10, 10), 0, 255).astype(np.uint8)
    return lit[:, ::-1] if random.random() < 0.5 else lit


def _faceless(random: np.random.Generator) -> Pixels:
    """Clouds, stripes, bricks or one colour: nothing that looks back."""
    height, width = (int(side) for side in random.integers(80, 300, 2))
    colour = random.integers(40, 220, 3)
    rows, columns = np.indices((height, width))
    patterns = (
        lambda: cv2.resize(random.normal(0, 40, (5, 7)), (width, height), interpolation=cv2.INTER_CUBIC),
        lambda: 60 * np.sin((rows * random.uniform(-1, 1) + columns) / random.uniform(3, 20)),
        lambda: 50.0 * (((rows // 16) + (columns + 16 * (rows // 16 % 2)) // 32) % 2),
        lambda: np.zeros((height, width)),
    )
    pattern = patterns[int(random.integers(len(patterns)))]()
    return np.clip(colour + pattern[..., None], 0, 255).astype(np.uint8)


def _collage(random: np.random.Generator, *, faces: int, width: int, height: int) -> Pixels:
    shown = Portrait(pixels=_portraits()[0], box=np.array(FACE))
    return collage(
        [shown], width=width, height=height, count=faces, seed=int(random.integers(1 << 30))
    ).pixels


def _huge(random: np.random.Generator) -> Pixels:
    """One portrait in a wide plain."""
    pixels = np.full((HUGE[1], HUGE[0], 3), 128, np.uint8)
    face = np.kron(_portraits()[0], np.ones((4, 4, 1), np.uint8))
    top, left = (int(side) for side in random.integers(500, 3000, 2))
    pixels[top : top + face.shape[0], left : left + face.shape[1]] = face
    return pixels


# -- files ------------------------------------------------------------------------------------------


def _encoded(pixels: Pixels, random: np.random.Generator) -> tuple[str, bytes]:
    """Seven of ten as JPEG, of which each fourth lies turned in its file; the others as PNG and WebP."""
    image, file = Image.fromarray(pixels), io.BytesIO()
    drawn = random.random()
    if drawn < 0.15 and pixels.size < 200_000:
        image.save(file, "PNG", compress_level=1)
        return ".png", file.getvalue()
    if drawn < 0.3:
        image.save(file, "WEBP", quality=int(random.integers(60, 90)), method=0)
        return ".webp", file.getvalue()
    exif = Image.Exif()
    if random.random() < 0.25:
        orientation = int(random.integers(2, 9))
        exif[_ORIENTATION] = orientation
        image = image.transpose(STORED_AS[orientation])
    if random.random() < 0.1:
        image = image.convert("L")
    image.save(file, "JPEG", quality=int(random.integers(55, 95)), exif=exif)
    return (".jpg", ".JPG", ".jpeg")[int(random.integers(3))], file.getvalue()


def _jpeg(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return file.getvalue()


def _portrait(random: np.random.Generator) -> tuple[str, bytes]:
    shown = _portraits()[int(random.integers(len(_portraits())))]
    return _encoded(_varied(shown, random, sides=(160, 320)), random)


def _render(random: np.random.Generator) -> tuple[str, bytes]:
    shown = _renders()[int(random.integers(len(_renders())))]
    return _encoded(_varied(shown, random, sides=(120, 220)), random)


def _group(random: np.random.Generator) -> tuple[str, bytes]:
    return _encoded(_collage(random, faces=int(random.integers(2, 7)), width=480, height=320), random)


def _crowd(random: np.random.Generator) -> tuple[str, bytes]:
    return ".jpg", _jpeg(_collage(random, faces=CROWD, width=1920, height=1200))


def _truncated(random: np.random.Generator) -> tuple[str, bytes]:
    """Half a PNG: of half a JPEG something can be shown."""
    file = io.BytesIO()
    Image.fromarray(_varied(_portraits()[0], random, sides=(160, 200))).save(file, "PNG", compress_level=1)
    return ".png", file.getvalue()[: len(file.getvalue()) // 2]


def _portrait_jpeg(random: np.random.Generator) -> bytes:
    return _jpeg(_varied(_portraits()[0], random, sides=(100, 120)))


def _too_many_pixels(random: np.random.Generator) -> tuple[str, bytes]:
    """A header that states 65,000 by 65,000 pixels."""
    data = bytearray(_portrait_jpeg(random))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = b"\xfd\xe8\xfd\xe8"
    return ".jpg", bytes(data)


SORTS: Mapping[str, Sort] = {
    "portrait": Sort(make=_portrait),
    "render": Sort(make=_render),
    "collage": Sort(make=_group),
    "faceless": Sort(make=lambda random: _encoded(_faceless(random), random)),
    "crowd": Sort(make=_crowd),
    "huge": Sort(make=lambda random: (".jpg", _jpeg(_huge(random)))),
    "empty": Sort(make=lambda random: (".jpg", b""), readable=False),
    "truncated": Sort(make=_truncated, readable=False),
    "cut header": Sort(make=lambda random: (".jpeg", _portrait_jpeg(random)[:12]), readable=False),
    "noise": Sort(make=lambda random: (".jpg", random.bytes(3000)), readable=False),
    "page": Sort(make=lambda random: (".webp", b"<!doctype html><title>404</title>"), readable=False),
    "too many pixels": Sort(make=_too_many_pixels, readable=False),
}
