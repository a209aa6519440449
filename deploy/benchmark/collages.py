"""Photos put together of faces whose places are known, and which of those faces a search found."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
# A box shows a face from this overlap on (intersection over union). Boxes of turned faces are not turned.
SAME_FACE = 0.3


def pictures_in(folder: Path) -> list[Path]:
    """All pictures below a folder, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)


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


def overlaps(found: NDArray[Any], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union [N, M] of the faces `truth` [N, 4] with the boxes `found` [M, 4]."""
    low = np.maximum(truth[:, None, :2], found[None, :, :2])
    high = np.minimum(truth[:, None, 2:], found[None, :, 2:])
    common = np.maximum(high - low, 0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (truth, found)]
    return np.asarray(common / (areas[0][:, None] + areas[1][None] - common), dtype=np.float64)


def match_faces(found: NDArray[Any], truth: NDArray[np.float64]) -> NDArray[np.int_]:
    """For each of the faces `truth` [N, 4] the number of the box of `found` [M, 4] that shows it: [N].

    -1 where none does. A box counts for one face.
    """
    match = np.full(len(truth), -1)
    free = np.ones(len(found), dtype=bool)
    for number, overlap in enumerate(overlaps(found, truth)):
        overlap = np.where(free, overlap, 0.0)
        if len(overlap) and overlap.max() >= SAME_FACE:
            match[number] = int(overlap.argmax())
            free[match[number]] = False
    return match
