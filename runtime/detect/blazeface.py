"""The detector: MediaPipe's BlazeFace, full-range. Its tensors, and what its raw answers mean.

An RGB canvas in, whose sides are multiples of 32 pixels (the network is fully convolutional); one anchor at
the centre of each 4 x 4 cell; for each anchor a logit and 16 numbers in canvas pixels: offset of the box's
centre from the anchor, width, height, and offsets of six key points (right eye, left eye, nose tip, mouth's
centre, right ear, left ear).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Names of the detector's tensors.
CANVASES, REGRESSORS, LOGITS = "canvases", "regressors", "logits"

STRIDE = 4  # canvas pixels a cell


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Anchors that show a face, in pixels of their canvases; several of them show the same face.

    canvas [n]: the number of the canvas. anchor [n, 2]. score [n]: 0..1. size [n, 2]: the box's width and
    height. points [n, 8, 2]: the box's two corners, then the six key points.
    """

    canvas: NDArray[np.int_]
    anchor: NDArray[np.float64]
    score: NDArray[np.float64]
    size: NDArray[np.float64]
    points: NDArray[np.float64]


def decode(raw: Mapping[str, NDArray[Any]], *, width: int, min_score: float) -> Candidates:
    """The anchors with at least this score on canvases so many pixels wide.

    `raw` holds `regressors` [B, N, 16] and `logits` [B, N, 1]; N cells, row by row.
    """
    logits = np.asarray(raw[LOGITS])[..., 0]
    # The smallest difference from 1 that a score can have stands for none.
    canvas, cell = np.nonzero(logits >= np.log(min_score / max(1 - min_score, 1e-16)))
    # MediaPipe clips logits to +-100 before the sigmoid; float64 holds that without overflow.
    score = 1 / (1 + np.exp(-np.clip(logits[canvas, cell].astype(np.float64), -100, 100)))
    values = np.asarray(raw[REGRESSORS])[canvas, cell].astype(np.float64)
    finite = np.isfinite(values).all(axis=1)
    canvas, cell, score, values = canvas[finite], cell[finite], score[finite], values[finite]
    row, column = np.divmod(cell, width // STRIDE)
    anchor = np.stack([column, row], axis=1) * STRIDE + STRIDE / 2
    center, size = anchor + values[:, 0:2], values[:, 2:4]
    points = np.concatenate(
        [
            np.stack([center - size / 2, center + size / 2], axis=1),
            anchor[:, None] + values[:, 4:].reshape(-1, 6, 2),
        ],
        axis=1,
    )
    return Candidates(canvas=canvas, anchor=anchor, score=score, size=size, points=points)
