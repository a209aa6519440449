"""Pictures in a folder, and which of the faces whose places are known a search found."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
# A box shows a face from this overlap on (intersection over union). Boxes of turned faces are not turned.
SAME_FACE = 0.3


def pictures_in(folder: Path) -> list[Path]:
    """All pictures below a folder, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)


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
