"""The detector: MediaPipe's BlazeFace, full-range. Its tensors, and what its raw answers mean.

192 x 192 RGB in; one anchor at the centre of each cell of a 48 x 48 grid; for each anchor a logit and 16
numbers in canvas pixels: offset of the box's centre from the anchor, width, height, and offsets of six key
points (right eye, left eye, nose tip, mouth's centre, right ear, left ear).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Names of the detector's tensors.
TILES, REGRESSORS, LOGITS = "tiles", "regressors", "logits"

TILE_SIZE = 192
GRID = 48
STRIDE = TILE_SIZE // GRID


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Anchors that show a face, in canvas pixels of their tiles; several of them show the same face.

    tile [n]: the number of the tile. score [n]: 0..1. size [n, 2]: the box's width and height.
    points [n, 8, 2]: the box's two corners, then the six key points.
    """

    tile: NDArray[np.int_]
    score: NDArray[np.float64]
    size: NDArray[np.float64]
    points: NDArray[np.float64]


def decode(raw: Mapping[str, NDArray[Any]], *, min_score: float) -> Candidates:
    """The anchors with at least this score, of `regressors` [T, 2304, 16] and `logits` [T, 2304, 1]."""
    # MediaPipe clips logits to +-100 before the sigmoid; float64 holds that without overflow.
    logits = np.clip(np.asarray(raw[LOGITS], dtype=np.float64)[..., 0], -100, 100)
    scores = 1 / (1 + np.exp(-logits))
    tile, anchor = np.nonzero(scores >= min_score)
    values = np.asarray(raw[REGRESSORS])[tile, anchor].astype(np.float64)
    finite = np.isfinite(values).all(axis=1)
    tile, anchor, values = tile[finite], anchor[finite], values[finite]
    anchors = np.stack([anchor % GRID, anchor // GRID], axis=1) * STRIDE + STRIDE / 2
    center, size = anchors + values[:, 0:2], values[:, 2:4]
    points = np.concatenate(
        [
            np.stack([center - size / 2, center + size / 2], axis=1),
            anchors[:, None] + values[:, 4:].reshape(-1, 6, 2),
        ],
        axis=1,
    )
    return Candidates(tile=tile, score=scores[tile, anchor], size=size, points=points)
