"""Photos of faces whose place is known: chips laid on photos without a face.

A chip is seen whole; its edges are drawn out and fade into the photo: a chip hardly shows more than the face,
and a face without anything around it is a case of its own (`tight_photo`).
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.benchmark.collages import pictures_in
from deploy.benchmark.detector.chips import Chip
from deploy.measuring.pictures.collages import warped
from runtime.errors import InvalidInput
from runtime.image.decode import decode_image

# How far a chip's drawn-out edges reach, in parts of its side.
_FRINGE = 0.25
_LIGHT = (0.75, 1.15)
# Degrees either way of a face that counts as upright.
_TILT = 8.0
# A face takes at most this part of the photo's shorter side.
_MOST = 0.92
# Faces of one photo keep so far from each other, in parts of their sizes.
_APART = 1.45
_TRIES = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shot:
    """A photo uint8 [H, W, 3] and its F faces.

    boxes [F, 4] and points [F, 4, 2] in its pixels; exact [F]: whether these are known well.
    counted [F]: whether a face belongs to what the photo was made to measure.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    points: NDArray[np.float64]
    exact: NDArray[np.bool_]
    counted: NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """A face to be in a photo: its longer side as a share of the photo's, degrees that it is turned by."""

    share: float
    turn: float = 0.0
    counted: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backgrounds:
    """Photos without a face. Raises ValueError for none."""

    files: Sequence[Path]

    @classmethod
    def of(cls, folder: Path) -> "Backgrounds":
        """Those below a folder."""
        files = pictures_in(folder)
        if not files:
            raise ValueError(f"{folder} has no picture: name a folder of photos without faces")
        return cls(files=files)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Each as it is; what is no picture is left out."""
        for file in self.files:
            try:
                yield decode_image(file.read_bytes())
            except InvalidInput:
                continue

    def draw(
        self, random: np.random.Generator, *, width: int, height: int, across: int = 1
    ) -> NDArray[np.uint8]:
        """One that fills a photo, or a mosaic of so many across and down: large photos show more detail."""
        photo = np.empty((height, width, 3), dtype=np.uint8)
        columns, rows = (np.linspace(0, side, across + 1).astype(int) for side in (width, height))
        for top, bottom in itertools.pairwise(rows):
            for left, right in itertools.pairwise(columns):
                picture = decode_image(self.files[int(random.integers(len(self.files)))].read_bytes())
                photo[top:bottom, left:right] = _fill(picture, width=right - left, height=bottom - top)
        return photo


def _fill(picture: NDArray[np.uint8], *, width: int, height: int) -> NDArray[np.uint8]:
    """The middle of a picture, scaled so that it fills a rectangle."""
    scale = max(width / picture.shape[1], height / picture.shape[0])
    middle = np.array([picture.shape[1], picture.shape[0]]) / 2
    shift = np.array([width, height]) / 2 - scale * middle
    return warped(picture, np.column_stack([np.eye(2) * scale, shift]), width=width, height=height)


def photo_of(
    chips: Sequence[Chip],
    wanted: Sequence[Wanted],
    *,
    background: NDArray[np.uint8],
    random: np.random.Generator,
) -> Shot:
    """Chips laid on a background [H, W, 3] (which is changed), each as wanted, at places drawn by chance.

    A face for which there is no room beside the others is left out.
    """
    height, width = background.shape[:2]
    boxes: list[NDArray[np.float64]] = []
    points: list[NDArray[np.float64]] = []
    exact, counted = [], []
    for chip, want in sorted(zip(chips, wanted, strict=True), key=lambda pair: -pair[1].share):
        size = min(want.share * max(width, height), _MOST * min(width, height))
        room = np.array([width, height]) - size
        for _ in range(_TRIES):
            middle = size / 2 + random.uniform(0, 1, 2) * room
            if all(_apart(middle, size, box) for box in boxes):
                break
        else:
            continue
        box, five = _lay(
            chip,
            background,
            middle=middle,
            size=size,
            turn=want.turn + random.uniform(-_TILT, _TILT),
            random=random,
        )
        boxes.append(box)
        points.append(five)
        exact.append(chip.exact)
        counted.append(want.counted)
    return Shot(
        pixels=background,
        boxes=np.array(boxes).reshape(-1, 4),
        points=np.array(points).reshape(-1, 4, 2),
        exact=np.array(exact, dtype=bool),
        counted=np.array(counted, dtype=bool),
    )


def _apart(middle: NDArray[np.float64], size: float, box: NDArray[np.float64]) -> bool:
    other = box.reshape(2, 2)
    distance = np.abs(middle - other.mean(axis=0)).max()
    return bool(distance >= _APART * (size + (other[1] - other[0]).max()) / 2)


def _lay(
    chip: Chip,
    photo: NDArray[np.uint8],
    *,
    middle: NDArray[np.float64],
    size: float,
    turn: float,
    random: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lays a chip on a photo, its face's middle there; box [4] and points [4, 2] of its face there."""
    corners = chip.box.reshape(2, 2)
    scale = size / chip.face
    mirrored = -1.0 if random.random() < 0.5 else 1.0
    angle = np.deg2rad(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.diag([mirrored, 1.0]) * scale
    reach = scale * chip.pixels.shape[0] * (1 + 2 * _FRINGE)
    low = np.maximum(0, np.floor(middle - reach)).astype(int)
    high = np.minimum([photo.shape[1], photo.shape[0]], np.ceil(middle + reach)).astype(int)
    matrix = np.column_stack([linear, middle - low - linear @ corners.mean(axis=0)])
    width, height = (int(length) for length in high - low)
    face = warped(chip.pixels, matrix, width=width, height=height)
    side = chip.pixels.shape[0]
    whole = matrix.copy()
    whole[:, 2] -= linear @ np.full(2, round(side * _FRINGE))
    cover = warped(_cover(side), whole, width=width, height=height, border=cv2.BORDER_CONSTANT)
    part: Any = photo[low[1] : high[1], low[0] : high[0]]
    weight = cover[..., None].astype(np.float32) / 255
    lit = np.clip(face.astype(np.float32) * random.uniform(*_LIGHT), 0, 255)
    part[...] = np.rint(part * (1 - weight) + lit * weight).astype(np.uint8)
    half = scale * (corners[1] - corners[0]) / 2
    points = (chip.points - corners.mean(axis=0)) @ linear.T + middle
    if mirrored < 0:
        points = points[[1, 0, 2, 3]]
    return np.concatenate([middle - half, middle + half]), points


def _cover(side: int) -> NDArray[np.uint8]:
    """How much of a chip with its drawn-out edges is seen, 0..255 [S, S]."""
    fringe = round(side * _FRINGE)
    at = np.arange(side + 2 * fringe) - fringe
    beyond = np.maximum(0, np.maximum(-at, at - (side - 1))) / fringe
    radius = np.hypot(beyond[:, None], beyond[None, :])
    return np.asarray(np.rint(255 * np.clip(1 - radius, 0, 1)), dtype=np.uint8)


def tight_photo(chip: Chip, *, margin: float, longer: int) -> Shot:
    """The chip cut at its face's box and so much around it (parts of the box's sides), enlarged.

    A margin below 0 cuts into the face.
    """
    corners = chip.box.reshape(2, 2)
    size = corners[1] - corners[0]
    low = np.maximum(0, np.floor(corners[0] - margin * size)).astype(int)
    high = np.minimum(chip.pixels.shape[0], np.ceil(corners[1] + margin * size)).astype(int)
    corners = np.clip(corners, low, high)
    cut = chip.pixels[low[1] : high[1], low[0] : high[0]]
    scale = longer / max(cut.shape[:2])
    pixels = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return Shot(
        pixels=np.asarray(pixels, dtype=np.uint8),
        boxes=((corners - low) * scale).reshape(1, 4),
        points=((chip.points - low) * scale)[None],
        exact=np.array([chip.exact]),
        counted=np.array([True]),
    )
