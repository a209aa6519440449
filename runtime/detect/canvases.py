"""What the detector is shown of a photo: canvases, each with one or more views of it.

The detector finds faces of about a tenth to two fifths of a 192-pixel canvas, and works at any size of one.
So a photo is first looked at as a whole: shrunken to 192 pixels, and to 77 for a face that fills it, both on
one canvas; a larger one at 480 pixels too. Where such a look shows a face that is small on its canvas, or a
trace of one, a closer look follows, at the size that suits the detector (`closer_looks`). Faces that leave no
trace in a whole look are found by finer levels, which are cut into overlapping tiles (`fine_looks`): many
canvases, only for a search that wants them.
"""

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidImage
from runtime.image.photo import Copy, Photo, copy_of, size_of

# The first look: the photo within 192 x 192 pixels, and beside it within 77 x 77.
FIRST_SHAPE = (192, 288)
_WHOLE, _SHRUNKEN = 192, 77
# The second, of photos with more pixels than that: within 480 x 480, on the smallest of these canvases.
_SECOND = 480
_SECOND_SHORT_SIDES = (288, 384, 480)
# Photos up to here have no second look: the closer ones show all that they hold.
_SECOND_FROM = 720

# A closer look shows a face that measures so many pixels on a canvas of 96 x 96 ...
CLOSER_SHAPE = (96, 96)
CLOSER_FACE = 48.0
# ... the photo enlarged by no more than this.
_MOST_ENLARGED = 2.0
# So many at once, filled up with black ones: each other number would be another shape to compile.
CLOSER_BATCHES = (1, 4, 8)

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
class Views:
    """Parts of canvases that show a part of the photo each.

    canvas [V]: the canvas's number. area [V, 4] float64: x0, y0, x1, y1 in canvas pixels. scale [V, 2] and
    offset [V, 2] float64: photo = (canvas - offset) / scale, x then y. inner_edges [V, 4] bool: whether the
    photo goes on beyond the area's left, top, right and bottom edge.
    """

    canvas: NDArray[np.int_]
    area: NDArray[np.float64]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    inner_edges: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Canvases:
    """What one call of the detector gets: pixels [B, H, W, 3] uint8 RGB, and what is to be seen there."""

    pixels: NDArray[np.uint8]
    views: Views


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
        return [_first_look(_within(image, side=int(photo.max()), photo=photo), photo=photo)]
    # The coarser copies are made from the finer one, so a large photo is read only once.
    base = _within(image, side=_SECOND, photo=photo)
    return [_first_look(base, photo=photo), _second_look(base)]


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
    side = np.array(CLOSER_SHAPE[::-1])
    scales = np.minimum(_MOST_ENLARGED, CLOSER_FACE / np.maximum(sizes, 1.0))
    spots = [
        _spot(image, center=center, scale=scale, side=side)
        for center, scale in zip(centers, scales, strict=True)
    ]
    for first in range(0, len(spots), CLOSER_BATCHES[-1]):
        part = spots[first : first + CLOSER_BATCHES[-1]]
        count = CLOSER_BATCHES[bisect.bisect_left(CLOSER_BATCHES, len(part))]
        black = [np.zeros((*CLOSER_SHAPE, 3), dtype=np.uint8)] * (count - len(part))
        yield _canvases([pixels for pixels, _ in part] + black, [[view] for _, view in part])


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


# Pixels of a canvas, and the views on it.
_View = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]


def _first_look(copy: Copy, *, photo: NDArray[np.int_]) -> Canvases:
    canvas = np.zeros((*FIRST_SHAPE, 3), dtype=np.uint8)
    height, width = FIRST_SHAPE
    whole = _smaller(copy, side=_WHOLE, photo=photo)
    shrunken = _smaller(whole, side=_SHRUNKEN, photo=photo)
    views = [
        _letterbox(whole, canvas, area=np.array([0, 0, _WHOLE, height])),
        _letterbox(shrunken, canvas, area=np.array([_WHOLE, 0, width, height])),
    ]
    return _canvases([canvas], [views])


def _second_look(copy: Copy) -> Canvases:
    size = _size(copy.pixels)
    short = next(side for side in _SECOND_SHORT_SIDES if side >= size.min())
    width, height = (_SECOND, short) if size[0] >= size[1] else (short, _SECOND)
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    return _canvases([canvas], [[_letterbox(copy, canvas, area=np.array([0, 0, width, height]))]])


def _smaller(copy: Copy, *, side: int, photo: NDArray[np.int_]) -> Copy:
    """A copy of a photo's copy, its longer side `side` pixels."""
    smaller = copy_of(copy.pixels, size=_sized(photo, side=side))
    return Copy(
        pixels=smaller.pixels,
        scale=copy.scale * smaller.scale,
        offset=copy.offset * smaller.scale + smaller.offset,
    )


def _letterbox(copy: Copy, canvas: NDArray[np.uint8], *, area: NDArray[np.int_]) -> _View:
    """Puts a copy of the photo into the middle of a canvas's area."""
    size = _size(copy.pixels)
    left, top = at = area[:2] + (area[2:] - area[:2] - size) // 2
    canvas[top : top + size[1], left : left + size[0]] = copy.pixels
    return area.astype(np.float64), copy.scale, copy.offset + at, np.zeros(4, dtype=bool)


def _spot(
    image: NDArray[np.uint8] | Photo, *, center: NDArray[np.float64], scale: float, side: NDArray[np.int_]
) -> tuple[NDArray[np.uint8], _View]:
    """A part of the photo at some scale, as large as a canvas of `side` (width, height)."""
    photo = _size(image)
    low = np.clip(np.floor(center - side / scale / 2).astype(int), 0, photo - 1)
    high = np.clip(np.ceil(center + side / scale / 2).astype(int), low + 1, photo)
    size = np.clip(np.rint((high - low) * scale).astype(int), 1, side)
    copy = copy_of(image, part=[low, high], size=(int(size[0]), int(size[1])), finer=_CLOSER_FINER)
    canvas = np.zeros((side[1], side[0], 3), dtype=np.uint8)
    canvas[: size[1], : size[0]] = copy.pixels
    edges = np.concatenate([low > 0, high < photo])
    return canvas, (np.array([0, 0, *size], dtype=np.float64), copy.scale, copy.offset, edges)


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
            edges = np.array([x > 0, y > 0, x + _TILE < size[0], y + _TILE < size[1]])
            area = np.array([0, 0, part.shape[1], part.shape[0]], dtype=np.float64)
            view = area, copy.scale, copy.offset - [x, y], edges
            yield _canvases([canvas], [[view]])


def _count(photo: NDArray[np.int_], *, side: int) -> int:
    """The tiles of the level whose longer side has so many pixels."""
    return int(_counts(np.array(_sized(photo, side=side))).prod())


def _counts(size: NDArray[np.int_]) -> NDArray[np.int_]:
    return np.asarray(np.maximum(1, np.ceil((size - _OVERLAP) / (_TILE - _OVERLAP)).astype(int)))


def _finest(photo: NDArray[np.int_], *, tiles: int, side: int) -> int:
    """The longer side of the finest level of at most so many tiles, up to `side` pixels; 0: there is none."""
    return bisect.bisect_right(range(1, side + 1), tiles, key=lambda size: _count(photo, side=size))


def _canvases(pixels: Sequence[NDArray[np.uint8]], views: Sequence[Sequence[_View]]) -> Canvases:
    """Canvases and the views on each of them."""
    every = [view for of_one in views for view in of_one]
    area, scale, offset, edges = (np.stack(values) for values in zip(*every, strict=True))
    canvas = np.repeat(np.arange(len(views)), [len(of_one) for of_one in views])
    return Canvases(
        pixels=np.stack(pixels),
        views=Views(canvas=canvas, area=area, scale=scale, offset=offset, inner_edges=edges),
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
