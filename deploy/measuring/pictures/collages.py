"""Photos put together of faces whose places are known."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Of a portrait, so many times the face's box around it are shown, and no more of a cell than a quarter of the
# photo's height: a single face is not a whole wall.
_AROUND = 2.0
_LARGEST_CELL = 0.25
_SCALES = (0.7, 1.0)  # of what a cell has room for
_TURN = 15.0  # degrees to either side
_LIGHT = (0.6, 1.2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Portrait:
    """A picture uint8 [H, W, 3], and the box of its face [4] in its pixels."""

    pixels: NDArray[np.uint8]
    box: NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collage:
    """A photo uint8 [H, W, 3], and the boxes of its faces [N, 4] in its pixels."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float64]

    @property
    def face_size(self) -> float:
        """The median of the faces' widths in pixels."""
        return float(np.median(self.boxes[:, 2] - self.boxes[:, 0]))


def collage(portraits: Sequence[Portrait], *, width: int, height: int, count: int, seed: int) -> Collage:
    """A photo of so many faces, in a grid that fills it."""
    random = np.random.default_rng(seed)
    columns, rows = max(
        ((columns, -(-count // columns)) for columns in range(1, count + 1)),
        key=lambda grid: min(width / grid[0], height / grid[1]),
    )
    cell = min(width / columns, height / rows, _LARGEST_CELL * height)
    # Grey that is no flat colour: a photo's background has something in it.
    small = random.integers(90, 150, (9, 16, 3)).astype(np.uint8)
    pixels = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    boxes = []
    for place in random.permutation(columns * rows)[:count]:
        middle = (np.array([place % columns, place // columns]) + 0.5) * [width / columns, height / rows]
        portrait = portraits[int(random.integers(len(portraits)))]
        boxes.append(_paste(portrait, pixels, middle=middle, cell=cell, random=random))
    return Collage(pixels=np.asarray(pixels, dtype=np.uint8), boxes=np.array(boxes))


def _paste(
    portrait: Portrait,
    photo: NDArray[Any],
    *,
    middle: NDArray[np.float64],
    cell: float,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Puts a portrait into a photo, its face in the middle of a cell; the box of its face there [4]."""
    corners = portrait.box.reshape(2, 2)
    side = float((corners[1] - corners[0]).max())
    scale = cell * random.uniform(*_SCALES) / (_AROUND * side)
    mirrored = -1.0 if random.random() < 0.5 else 1.0
    angle = np.deg2rad(random.uniform(-_TURN, _TURN))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([mirrored, 1.0]) * scale
    low = np.maximum(0, np.floor(middle - cell / 2)).astype(int)
    high = np.minimum([photo.shape[1], photo.shape[0]], np.ceil(middle + cell / 2)).astype(int)
    face = corners.mean(axis=0)
    matrix = np.column_stack([linear, middle - low - linear @ face])
    width, height = (int(length) for length in high - low)
    patch = warped(portrait.pixels, matrix, width=width, height=height)
    lit = np.clip(patch * random.uniform(*_LIGHT), 0, 255).astype(np.uint8)
    photo[low[1] : high[1], low[0] : high[0]] = lit
    half = scale * (corners[1] - corners[0]) / 2
    return np.concatenate([middle - half, middle + half])


def warped(
    pixels: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    *,
    width: int,
    height: int,
    border: int = cv2.BORDER_REPLICATE,
) -> NDArray[np.uint8]:
    """A picture uint8 [H, W, ...] under a map [2, 3] to a canvas of this size, without skipping pixels.

    The map scales, turns and mirrors; it does not shear. Both sides are measured from the pictures' edges.
    """
    matrix = matrix.copy()
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    # A much smaller copy is made of an already smaller one: warping alone would skip pixels.
    if scale < 0.5:
        shrink = max(2 * scale, 2 / min(pixels.shape[:2]))
        pixels = np.asarray(
            cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
        matrix[:, :2] /= shrink
    # OpenCV measures from the middle of the first pixel.
    matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    copy = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(copy, dtype=np.uint8)
