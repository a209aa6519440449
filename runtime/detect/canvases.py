"""What the detector is shown of a photo: canvases, each with a view of it.

The detector finds faces of about a tenth to two fifths of a 192-pixel canvas, and works at any size of one.
So a photo is first looked at as a whole: shrunken to 192 pixels, a larger one at 480 pixels too
(`whole_looks`). Where such a look shows a face that is small on its canvas, or a trace of one, a closer look
follows, at the size that suits the detector (`closer_looks`), and where it shows none for certain, or a very
large one, the photo is shrunken to 77 pixels, for a face that fills it. Faces that leave no trace in a whole
look are found by finer levels, which are cut into overlapping tiles (`fine_looks`): many canvases, only for a
search that wants them.
"""

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidImage
from runtime.image.photo import Copy, Photo, copy_of, size_of

# The first look is the photo within 192 x 192 pixels, the second, of larger photos, within 480 x 480, each on
# a canvas whose shorter side is the least of these. (Each shape takes the detector 19 MiB.)
FIRST_SHAPE = (192, 192)
_WHOLE, _SECOND = 192, 480
_SHORT_SIDES = {_WHOLE: (160, 192), _SECOND: (288, 384, 480)}
# Photos up to here have no second look: the closer ones show all that they hold.
_SECOND_FROM = 720

# A closer look shows a face that measures so many pixels on a canvas of 96 x 96 ...
CLOSER_SHAPE = (96, 96)
CLOSER_FACE = 48.0
# ... the photo enlarged by no more than this.
_MOST_ENLARGED = 2.0
# As many at once as the first of these that there are; each other number would be another shape to compile.
_CLOSER_BATCHES = (4, 2, 1)
# The whole photo on such a canvas, for a face that fills it.
_SHRUNKEN = 77

# How many times the pixels of a look, a side, a photo's reduced copy has at least. A closer look may be made
# of half: a face that the whole looks are sure to show is not enlarged then; for others, most of which are no
# faces, the photo is not decoded again.
_FINER, _CLOSER_FINER = 1.5, 0.5

# Finer levels are cut into tiles of this size, which share so many pixels: a larger face is found on the
# level before.
_TILE = 480
_OVERLAP = 56
# What they may come to, in tiles: about four seconds of a core.
MOST_TILES = 96
# A level is so much finer than the one before; the last one may be this much finer, and then takes its place.
_STEP = 2.2
_NEAR = 1.4

# From this size on nine of ten faces are found by a look, and below it fewer and fewer: half at 16 pixels
# (`make many-faces ARGS=--by-size`).
SEEN = 19.2
# With the closer looks that follow a whole one, they are found from here on.
_TRACED = 15.0
# Smaller faces (photo pixels) are not worth a box: nothing can be said about them.
SMALLEST_FACE = 16.0


@dataclass(frozen=True, kw_only=True)
class Canvases:
    """What one call of the detector gets, and what of the photo each canvas shows.

    pixels [B, H, W, 3] uint8 RGB. area [B, 4] float64: where the photo is on the canvas, x0, y0, x1, y1 in
    its pixels. scale [B, 2] and offset [B, 2] float64: photo = (canvas - offset) / scale, x then y.
    inner_edges [B, 4] bool: whether the photo goes on beyond the area's left, top, right and bottom edge.
    whole [B] bool: whether this is a look at all of the photo.
    """

    pixels: NDArray[np.uint8]
    area: NDArray[np.float64]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    inner_edges: NDArray[np.bool_]
    whole: NDArray[np.bool_]


def check_photo(image: NDArray[np.uint8] | Photo) -> None:
    """Raises InvalidImage for an array that is no photo [H, W, 3] uint8."""
    if isinstance(image, Photo):
        return
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InvalidImage(
            f"A photo of shape {image.shape} and type {image.dtype} can't be searched for faces; "
            "send height x width x 3 RGB values of type uint8."
        )


def whole_looks(image: NDArray[np.uint8] | Photo) -> list[Canvases]:
    """The looks at all of a photo (or its pixels [H, W, 3] uint8), the coarsest first."""
    photo = _size(image)
    if photo.max() < _SECOND_FROM:
        return [_whole_look(_within(image, side=int(photo.max()), photo=photo), side=_WHOLE, photo=photo)]
    # The coarser copy is made from the finer one, so a large photo is read only once.
    base = _within(image, side=_SECOND, photo=photo)
    return [_whole_look(base, side=side, photo=photo) for side in (_WHOLE, _SECOND)]


def shrunken_look(first: Canvases) -> Canvases:
    """The look at all of a photo for a face that fills it, made of the first one of `whole_looks`."""
    canvas = Copy(pixels=first.pixels[0], scale=first.scale[0], offset=first.offset[0])
    size = _sized(_size(canvas.pixels), side=_SHRUNKEN)
    return _canvases([_letterbox(_smaller(canvas, size=size), shape=CLOSER_SHAPE)])


def level_shares() -> tuple[float, ...]:
    """The smallest face, as a share of the longer side, that the whole looks show, and each finer level."""
    levels = tuple(_SECOND * _STEP**level for level in range(1, 4))
    return _TRACED / _SECOND, *(SEEN / side for side in levels)


def seen_from(photo: NDArray[np.int_]) -> float:
    """The longer side in photo pixels from which on whole looks at a photo (width, height) show a face."""
    longer = int(photo.max())
    return max(SMALLEST_FACE, _TRACED * longer / min(longer, _whole_side(longer)))


def closer_looks(
    image: NDArray[np.uint8] | Photo, *, centers: NDArray[np.float64], sizes: NDArray[np.float64]
) -> Iterator[Canvases]:
    """Looks at places of a photo (or its pixels [H, W, 3] uint8).

    centers [n, 2] and sizes [n]: of the faces that are supposed there, in its pixels.
    """
    looks = [
        _look_at(image, center=center, size=size)
        for center, size in zip(centers.tolist(), sizes.tolist(), strict=True)
    ]
    done = 0
    for count in _CLOSER_BATCHES:
        for _ in range((len(looks) - done) // count):
            yield _canvases(looks[done : done + count])
            done += count


def fine_looks(image: NDArray[np.uint8] | Photo, *, from_size: float) -> Iterator[Canvases]:
    """The tiles of finer levels of a photo or its pixels, for faces from so many of its pixels on.

    Of at most MOST_TILES; what they show is `finest_face`.
    """
    photo = _size(image)
    for side in fine_levels(photo, from_size=from_size):
        yield from _tiles(_within(image, side=side, photo=photo))


def crowd_looks(image: NDArray[np.uint8] | Photo) -> Iterator[Canvases]:
    """The tiles of the next finer level of a photo or its pixels than the whole looks."""
    photo = _size(image)
    longer = int(photo.max())
    side = min(longer, round(_STEP * _whole_side(longer)))
    yield from _tiles(_within(image, side=side, photo=photo))


def fine_levels(photo: NDArray[np.int_], *, from_size: float) -> list[int]:
    """The longer sides in pixels of the finer levels of a photo (width, height), coarse to fine."""
    longer = int(photo.max())
    wanted = min(longer, math.ceil(SEEN * longer / max(SMALLEST_FACE, from_size)))
    levels: list[int] = []
    left = MOST_TILES
    last = float(_whole_side(longer))
    while last < wanted and left:
        most = _finest(photo, tiles=left, side=wanted)
        if most <= last:
            break
        last = most if most <= _NEAR * _STEP * last else _STEP * last
        levels.append(round(last))
        left -= _count(photo, side=levels[-1])
    return levels


def finest_face(photo: NDArray[np.int_], *, from_size: float | None) -> float:
    """The longer side in photo pixels from which on nine of ten faces are found."""
    usual = seen_from(photo)
    if from_size is None:
        return usual
    levels = fine_levels(photo, from_size=from_size)
    return min(usual, max(SMALLEST_FACE, SEEN * int(photo.max()) / levels[-1])) if levels else usual


@dataclass(frozen=True, kw_only=True)
class _Look:
    """One canvas [H, W, 3] and what it shows, as in `Canvases`."""

    pixels: NDArray[np.uint8]
    area: tuple[int, int, int, int]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    inner_edges: tuple[bool, bool, bool, bool] = (False, False, False, False)
    whole: bool = False


def _whole_look(copy: Copy, *, side: int, photo: NDArray[np.int_]) -> Canvases:
    smaller = _smaller(copy, size=_sized(photo, side=side))
    size = _size(smaller.pixels)
    short = next(short for short in _SHORT_SIDES[side] if short >= size.min())
    return _canvases([_letterbox(smaller, shape=(short, side) if size[0] >= size[1] else (side, short))])


def _smaller(copy: Copy, *, size: tuple[int, int]) -> Copy:
    """A copy of a photo's copy."""
    smaller = copy_of(copy.pixels, size=size)
    return Copy(
        pixels=smaller.pixels,
        scale=copy.scale * smaller.scale,
        offset=copy.offset * smaller.scale + smaller.offset,
    )


def _letterbox(copy: Copy, *, shape: tuple[int, int]) -> _Look:
    """A copy of the whole photo in the middle of a canvas."""
    canvas = np.zeros((*shape, 3), dtype=np.uint8)
    height, width = copy.pixels.shape[:2]
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    canvas[top : top + height, left : left + width] = copy.pixels
    # The canvas is the photo's, so that a face that the photo's edge cuts may have its middle beyond it.
    return _Look(
        pixels=canvas,
        area=(0, 0, shape[1], shape[0]),
        scale=copy.scale,
        offset=copy.offset + np.array([left, top]),
        whole=True,
    )


def _look_at(image: NDArray[np.uint8] | Photo, *, center: Sequence[float], size: float) -> _Look:
    """The part of the photo around a face of this size, at which the face is best seen."""
    scale = min(_MOST_ENLARGED, CLOSER_FACE / max(size, 1.0))
    low, high, shown = [], [], []
    for middle, end, side in zip(center, size_of(image), CLOSER_SHAPE[::-1], strict=True):
        first = min(max(math.floor(middle - side / scale / 2), 0), end - 1)
        last = min(max(math.ceil(middle + side / scale / 2), first + 1), end)
        low.append(first)
        high.append(last)
        shown.append(min(max(round((last - first) * scale), 1), side))
    copy = copy_of(
        image, part=(low[0], low[1], high[0], high[1]), size=(shown[0], shown[1]), finer=_CLOSER_FINER
    )
    canvas = np.zeros((*CLOSER_SHAPE, 3), dtype=np.uint8)
    canvas[: shown[1], : shown[0]] = copy.pixels
    width, height = size_of(image)
    return _Look(
        pixels=canvas,
        area=(0, 0, shown[0], shown[1]),
        scale=copy.scale,
        offset=copy.offset,
        inner_edges=(low[0] > 0, low[1] > 0, high[0] < width, high[1] < height),
    )


def _tiles(copy: Copy) -> Iterator[Canvases]:
    """A level's tiles, evenly spread over it and its edges included."""
    size = _size(copy.pixels)
    spare = np.maximum(0, size - _TILE)
    counts = _counts(size)
    columns, rows = (np.rint(np.linspace(0, s, n)).astype(int) for s, n in zip(spare, counts, strict=True))
    for y in rows:
        for x in columns:
            canvas = np.zeros((_TILE, _TILE, 3), dtype=np.uint8)
            part = copy.pixels[y : y + _TILE, x : x + _TILE]
            canvas[: part.shape[0], : part.shape[1]] = part
            look = _Look(
                pixels=canvas,
                area=(0, 0, part.shape[1], part.shape[0]),
                scale=copy.scale,
                offset=copy.offset - [x, y],
                inner_edges=(x > 0, y > 0, x + _TILE < size[0], y + _TILE < size[1]),
            )
            yield _canvases([look])


def _count(photo: NDArray[np.int_], *, side: int) -> int:
    """The tiles of the level whose longer side has so many pixels."""
    return int(_counts(np.array(_sized(photo, side=side))).prod())


def _counts(size: NDArray[np.int_]) -> NDArray[np.int_]:
    return np.asarray(np.maximum(1, np.ceil((size - _OVERLAP) / (_TILE - _OVERLAP)).astype(int)))


def _finest(photo: NDArray[np.int_], *, tiles: int, side: int) -> int:
    """The longer side of the finest level of at most so many tiles, up to `side` pixels; 0: there is none."""
    return bisect.bisect_right(range(1, side + 1), tiles, key=lambda size: _count(photo, side=size))


def _canvases(looks: Sequence[_Look]) -> Canvases:
    return Canvases(
        pixels=np.stack([look.pixels for look in looks]),
        area=np.array([look.area for look in looks], dtype=np.float64),
        scale=np.stack([look.scale for look in looks]),
        offset=np.stack([look.offset for look in looks]),
        inner_edges=np.array([look.inner_edges for look in looks]),
        whole=np.array([look.whole for look in looks]),
    )


def _whole_side(longer: int) -> int:
    """The longer side of the finest whole look at a photo of so many pixels."""
    return _WHOLE if longer < _SECOND_FROM else _SECOND


def _size(image: NDArray[np.uint8] | Photo) -> NDArray[np.int_]:
    return np.array(size_of(image))


def _sized(photo: NDArray[np.int_], *, side: int) -> tuple[int, int]:
    """A photo's size when its longer side has so many pixels."""
    width, height = np.maximum(1, np.rint(photo * (side / photo.max())).astype(int)).tolist()
    return width, height


def _within(image: NDArray[np.uint8] | Photo, *, side: int, photo: NDArray[np.int_]) -> Copy:
    return copy_of(image, size=_sized(photo, side=side), finer=_FINER)
