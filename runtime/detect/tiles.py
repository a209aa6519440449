"""The tiles of a photo that the detector looks at.

The detector finds faces of about a tenth to two fifths of its canvas. So a photo is shown to it as a pyramid:
once shrunken to a part of the canvas (a face that fills the picture), once whole, and for smaller faces as
overlapping tiles of larger copies. All tiles of a photo are one inference call.
"""

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.detect.blazeface import TILE_SIZE
from runtime.errors import InvalidImage

# At most this many tiles a photo (26 for a large one of 4:3), unless smaller faces are wanted ...
MAX_TILES = 32
# ... and then this many, which take about four seconds of a core.
MOST_TILES = 600

# The shrunken level: the photo takes this part of the canvas.
_SHRUNKEN = 0.4
# What neighbouring tiles share at least. A face larger than this is found at a coarser level, where it
# measures at least 56 / 2.3 = 24 canvas pixels.
_OVERLAP = 56
# The long side of the tiled levels in tiles: 328, 736, 1552 pixels and so on, a good factor of two apart.
_LEVEL_TILES = (2, 5, 11, 23, 47, 95, 191)
# The finest of them that always fits into MAX_TILES.
_USUAL_LEVEL = 1
# The last level may be so much finer than one of these, and then takes its place: what is too large for its
# tiles' overlap is still found on the level before.
_NEAR = 1.4

# Below this size on the canvas a box is out of place by up to half; a finer level, where there is one,
# shows the same face at 1.7 to 2.5 times the size.
VAGUE = 14.0
# From this size on nine of ten faces are found, and below it fewer and fewer: half at 16 pixels
# (`make many-faces ARGS=--by-size`).
_SEEN = 0.1 * TILE_SIZE
# Smaller faces (photo pixels) are not worth a box: nothing can be said about them.
SMALLEST_FACE = 16.0

# Pixels, scale, offset and inner edges of one tile, as in `Tiles`.
_Tile = tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """What the detector is shown of one photo.

    pixels [T, 192, 192, 3] uint8 RGB. scale [T, 2] and offset [T, 2] float64:
    photo = (canvas - offset) / scale, x then y. inner_edges [T, 4] bool: whether the photo goes on
    beyond the tile's left, top, right and bottom edge. photo_size: width and height in pixels.
    """

    pixels: NDArray[np.uint8]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    inner_edges: NDArray[np.bool_]
    photo_size: tuple[int, int]

    @property
    def smallest_face(self) -> float:
        """The longer side, in photo pixels, of the smallest face that is looked for."""
        return max(SMALLEST_FACE, _SEEN / float(self.scale.max()))


def tile_photo(image: NDArray[np.uint8], *, min_face: float | None = None) -> Tiles:
    """The tiles to show the detector for a photo [H, W, 3] uint8; at least the two coarsest levels.

    `min_face`: the smallest face to look for, as a share of the photo's longer side. For one that
    MAX_TILES don't show there are up to MOST_TILES, and what those show is `Tiles.smallest_face`.
    Raises InvalidImage for an array of another shape or type.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InvalidImage(
            f"A photo of shape {image.shape} and type {image.dtype} can't be searched for faces; "
            "send height x width x 3 RGB values of type uint8."
        )
    photo = np.array([image.shape[1], image.shape[0]])
    levels = _levels(photo, min_face=min_face)
    # Every coarser copy is made from the finest, so a large photo is read only once.
    base = _resize(image, levels[-1].size) if levels else image
    parts = [_letterbox(base, part=part, photo=photo) for part in (_SHRUNKEN, 1.0)]
    for level in levels:
        parts.extend(_cut(_resize(base, level.size), level=level, photo=photo))
    pixels, scales, offsets, edges = zip(*parts, strict=True)
    return Tiles(
        pixels=np.stack(pixels),
        scale=np.stack(scales),
        offset=np.stack(offsets),
        inner_edges=np.stack(edges),
        photo_size=(int(photo[0]), int(photo[1])),
    )


@dataclass(frozen=True, kw_only=True)
class _Level:
    """A copy of the photo that is cut into tiles: its size and the number of tiles, across and down."""

    size: NDArray[np.int_]
    count: NDArray[np.int_]

    @property
    def tiles(self) -> int:
        return int(self.count.prod())


def level_shares() -> tuple[float, ...]:
    """The smallest face, as a share of the longer side, that the usual levels show, and each finer one."""
    return tuple(_SEEN / _side(across) for across in _LEVEL_TILES[_USUAL_LEVEL:])


def _side(across: int) -> int:
    """The long side in pixels of a level that is so many tiles across."""
    return across * TILE_SIZE - (across - 1) * _OVERLAP


def _levels(photo: NDArray[np.int_], *, min_face: float | None) -> list[_Level]:
    """The tiled levels for a photo of that size (width, height), coarse to fine."""
    longer = int(photo.max())
    levels: list[_Level] = []
    left = MAX_TILES - 2
    for side in map(_side, _LEVEL_TILES):
        level = _level(photo, side=side)
        left -= level.tiles
        # Enlarging a photo would show nothing new.
        if side > longer or left < 0:
            break
        levels.append(level)
    if min_face is None:
        return levels
    wanted = min(longer, math.ceil(_SEEN * longer / max(SMALLEST_FACE, min_face * longer)))
    left = MOST_TILES - 2 - sum(level.tiles for level in levels)
    last = int(levels[-1].size.max()) if levels else TILE_SIZE
    for side in map(_side, _LEVEL_TILES[len(levels) :]):
        finest = _finest(photo, tiles=left, side=wanted)
        if finest <= last:
            break
        last = finest if finest <= _NEAR * side else side
        levels.append(_level(photo, side=last))
        left -= levels[-1].tiles
    return levels


def _finest(photo: NDArray[np.int_], *, tiles: int, side: int) -> int:
    """The longer side of the finest level of at most so many tiles, up to `side` pixels; 0: there is none."""
    return bisect.bisect_right(range(1, side + 1), tiles, key=lambda size: _level(photo, side=size).tiles)


def _level(photo: NDArray[np.int_], *, side: int) -> _Level:
    """The level whose longer side has so many pixels."""
    size = np.maximum(1, np.rint(photo * (side / photo.max())).astype(int))
    count = np.maximum(1, np.ceil((size - _OVERLAP) / (TILE_SIZE - _OVERLAP)).astype(int))
    return _Level(size=size, count=count)


def _letterbox(image: NDArray[np.uint8], *, part: float, photo: NDArray[np.int_]) -> _Tile:
    """The whole photo in the middle of a black canvas, its long side `part` of the canvas."""
    size = np.maximum(1, np.rint(photo * (TILE_SIZE * part / photo.max())).astype(int))
    offset = (TILE_SIZE - size) // 2
    return (
        _canvas(_resize(image, size), at=offset),
        size / photo,
        offset.astype(np.float64),
        np.zeros(4, dtype=bool),
    )


def _cut(image: NDArray[np.uint8], *, level: _Level, photo: NDArray[np.int_]) -> Iterator[_Tile]:
    """A level's tiles, evenly spread over the picture and its edges included."""
    size = level.size
    spare = np.maximum(0, size - TILE_SIZE)
    columns, rows = (
        np.rint(np.linspace(0, s, n)).astype(int) for s, n in zip(spare, level.count, strict=True)
    )
    for y in rows:
        for x in columns:
            edges = np.array([x > 0, y > 0, x + TILE_SIZE < size[0], y + TILE_SIZE < size[1]])
            tile = _canvas(image[y : y + TILE_SIZE, x : x + TILE_SIZE], at=np.zeros(2, dtype=int))
            yield tile, size / photo, -np.array([x, y], dtype=np.float64), edges


def _canvas(image: NDArray[np.uint8], *, at: NDArray[np.int_]) -> NDArray[np.uint8]:
    canvas = np.zeros((TILE_SIZE, TILE_SIZE, 3), dtype=np.uint8)
    canvas[at[1] : at[1] + image.shape[0], at[0] : at[0] + image.shape[1]] = image
    return canvas


def _resize(image: NDArray[np.uint8], size: NDArray[np.int_]) -> NDArray[np.uint8]:
    if image.shape[1] == size[0] and image.shape[0] == size[1]:
        return image
    smaller = size[0] < image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (int(size[0]), int(size[1])), interpolation=method), dtype=np.uint8)
