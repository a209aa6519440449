"""The background: a part of a photo when there are any, else a synthetic one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidInput
from runtime.image.decode import decode_image

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def find_photos(folder: Path) -> list[Path]:
    """All pictures below a folder, in a fixed order; ValueError where there is none."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: --backgrounds takes a folder of photos")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise ValueError(f"{folder} has no picture ({', '.join(sorted(_SUFFIXES))}) for the background")
    return found


def draw_background(rng: np.random.Generator, *, size: int, photos: Sequence[Path]) -> NDArray[np.float32]:
    """A background [size, size, 3], sRGB 0 to 1; synthetic where a photo can't be read."""
    picture: Any = None
    if photos and rng.random() < 0.8:
        picture = _from_photo(rng, photos[int(rng.integers(len(photos)))], size=size)
    if picture is None:
        picture = _synthetic(rng, size=size)
    if rng.random() < 0.6:
        # Out of focus; where the photos show faces, the more so the better.
        picture = cv2.GaussianBlur(picture, (0, 0), float(size / 384 * rng.uniform(1, 14)))
    return np.asarray(np.clip(picture * rng.uniform(0.5, 1.3), 0, 1), np.float32)


def _from_photo(rng: np.random.Generator, path: Path, *, size: int) -> NDArray[np.float32] | None:
    try:
        photo = decode_image(path.read_bytes())
    except (OSError, InvalidInput):
        return None
    height, width = photo.shape[:2]
    side = max(8, int(min(height, width) * rng.uniform(0.3, 1.0)))
    y, x = (
        int(rng.integers(0, height - min(side, height) + 1)),
        int(rng.integers(0, width - min(side, width) + 1)),
    )
    part = photo[y : y + side, x : x + side]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    # Upside down or on its side, a face in it is no second face.
    part = np.rot90(part, int(rng.choice(4, p=(0.25, 0.25, 0.25, 0.25))))
    scaled = cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, np.float32) / 255


def _synthetic(rng: np.random.Generator, *, size: int) -> NDArray[np.float32]:
    """A wall or sky with a gradient, clouds of colour, and shapes as in a room or a street."""
    a, b = (rng.beta(1, 1) * rng.normal(1, rng.choice([0.05, 0.35]), 3) for _ in range(2))
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    turn = rng.uniform(0, 2 * np.pi)
    share = np.clip(0.5 + (x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn), 0, 1)[..., None]
    picture = (a * (1 - share) + b * share).astype(np.float32)
    for cells in (3, 8, 24, 70):
        strength = rng.beta(1, 3) * (0.5 if cells < 20 else 0.2)
        noise = rng.normal(size=(cells, cells, 3)).astype(np.float32)
        if rng.random() < 0.6:
            noise[:] = noise.mean(axis=2, keepdims=True) * 1.7
        picture += strength * 0.4 * cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.choice([0, 4, 12, 30], p=(0.35, 0.3, 0.2, 0.15)))):
        colour = tuple(float(c) for c in np.clip(rng.beta(0.9, 0.9) * rng.normal(1, 0.2, 3), 0, 1))
        corner = rng.uniform(-0.2, 1.1, 2) * size
        extent = np.exp(rng.uniform(np.log(0.04), np.log(0.8), 2)) * size
        first = (int(corner[0]), int(corner[1]))
        if rng.random() < 0.6:
            last = (int(corner[0] + extent[0]), int(corner[1] + extent[1]))
            cv2.rectangle(picture, first, last, colour, -1)
        elif rng.random() < 0.5:
            cv2.circle(picture, first, int(extent.min() / 2) + 1, colour, -1)
        else:
            end = rng.uniform(-0.2, 1.2, 2) * size
            cv2.line(picture, first, (int(end[0]), int(end[1])), colour, int(rng.integers(1, 12)))
    return np.asarray(picture, np.float32)
