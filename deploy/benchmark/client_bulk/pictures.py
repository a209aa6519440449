"""Many small photos, no two alike, made of a few portraits."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.benchmark.client_bulk.paths import picture_paths
from deploy.measuring.pictures.photos import read_rgb
from deploy.measuring.pictures.portrait import PORTRAIT

_SIDES = (200, 480)  # pixels of the longer side
_SEED = 18


def write_pictures(folder: Path, count: int) -> list[Path]:
    """`count` JPEG files, of which a given one is the same at every run."""
    portraits = [read_rgb(path) for path in (PORTRAIT, *sorted(PORTRAIT.parent.glob("portraits/*.jpg")))]
    return [
        _write(path, portraits, number=number) for number, path in enumerate(picture_paths(folder, count))
    ]


def _write(path: Path, portraits: list[NDArray[np.uint8]], *, number: int) -> Path:
    random = np.random.default_rng((_SEED, number))
    pixels = portraits[number % len(portraits)]
    zoom = random.uniform(*_SIDES) / max(pixels.shape)
    pixels = np.asarray(cv2.resize(pixels, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA), np.uint8)
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
    pixels = np.clip(pixels * random.uniform(0.7, 1.2) + random.uniform(-10, 10), 0, 255).astype(np.uint8)
    quality = int(random.integers(70, 95))
    written, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert written
    path.write_bytes(data.tobytes())
    return path
