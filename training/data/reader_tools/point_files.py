"""Landmarks: iBUG's .pts files, and points as labels.

Points are arrays [K, 2] of (x, y) in the picture's pixels, whole numbers being pixel centres, NaN where
a point is not known.
"""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


def read_pts(path: Path, *, count: int = 68) -> Points:
    """The points of a .pts file (version 1), converted from MATLAB's pixels, whose first is 1, to ours.

    menpo, iBUG's own library, subtracts the 1 too. Raises ValueError with a few words on what is wrong
    with the file.
    """
    try:
        text = path.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not a text file") from None
    _, opened, rest = text.partition("{")
    body, closed, _ = rest.partition("}")
    try:
        points = np.array([line.split() for line in body.splitlines() if line.strip()], dtype=np.float64)
    except ValueError:
        raise ValueError(f"{path.name} has a line that is not two numbers") from None
    if not opened or not closed or points.shape != (count, 2) or not np.isfinite(points).all():
        raise ValueError(f"{path.name} does not hold {count} points in {{ }}")
    return points - 1.0


def points_label(points: ArrayLike) -> list[list[float] | None]:
    """Points as Sample.labels holds them: [x, y], or None where a coordinate is NaN."""
    rows = np.asarray(points, dtype=np.float64).tolist()
    return [None if x != x or y != y else [x, y] for x, y in rows]
