"""The tiles of a photo that the detector looks at.

The detector finds faces of about a tenth to two fifths of its canvas. So a photo is shown to it as a pyramid:
once shrunken to a part of the canvas (a face that fills the picture), once whole, and for smaller faces as
overlapping tiles of larger copies. All tiles of a photo are one inference call.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.detect.blazeface import TILE_SIZE
from runtime.errors import InvalidImage

# At most this many tiles a photo (26 for a large one of 4:3).
MAX_TILES = 32

# The shrunken level: the photo takes this part of the canvas.
_SHRUNKEN = 0.4
# What neighbouring tiles share at least. A face larger than this is found at a coarser level, where it
# measures at least 56 / 2.3 = 24 canvas pixels.
_OVERLAP = 56
# The long side of the tiled levels in tiles: 328, 736 and 1552 pixels, a good factor of two apart.
_LEVEL_TILES = (2, 5, 11)

# Pixels, scale, offset and inner edges of one tile, as in `Tiles`.
_Tile = tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """What the detector is shown of one photo.

    pixels [T, 192, 192, 3] uint8 RGB. scale [T, 2] and offset [T, 2] float64:
    photo = (canvas - offset) / scale, x then y. inner_edges [T, 4] bool: whether the photo goes on
    beyond the tile's left, top, right and bottom edge.
    """

    pixels: NDArray[np.uint8]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    inner_edges: NDArray[np.bool_]
    photo_size: tuple[int, int]


def tile_photo(image: NDArray[np.uint8], *, max_tiles: int = MAX_TILES) -> Tiles:
    """The tiles to show the detector for a photo [H, W, 3] uint8; at least the two coarsest levels.

    Raises InvalidImage for an array of another shape or type.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InvalidImage(
            f"A photo of shape {image.shape} and type {image.dtype} can't be searched for faces; "
            "send height x width x 3 RGB values of type uint8."
        )
    photo = np.array([image.shape[1], image.shape[0]])
    levels = _levels(photo, max_tiles=max_tiles)
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


def _levels(photo: NDArray[np.int_], *, max_tiles: int) -> list[_Level]:
    """The tiled levels for a photo of that size (width, height), coarse to fine."""
    levels: list[_Level] = []
    tiles = 2
    for across in _LEVEL_TILES:
        side = across * TILE_SIZE - (across - 1) * _OVERLAP
        size = np.maximum(1, np.rint(photo * (side / photo.max())).astype(int))
        count = np.maximum(1, np.ceil((size - _OVERLAP) / (TILE_SIZE - _OVERLAP)).astype(int))
        tiles += int(count.prod())
        # Enlarging a photo would show nothing new.
        if side > photo.max() or tiles > max_tiles:
            break
        levels.append(_Level(size=size, count=count))
    return levels


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
