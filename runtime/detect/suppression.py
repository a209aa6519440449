"""Non-maximum suppression: many candidates of a detector become one box for each face."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Two boxes are one face from this overlap on (intersection over union).
_SAME_FACE = 0.3
# ... or when this part of the smaller one lies inside the larger one.
_INSIDE = 0.7


def merge_candidates(
    points: NDArray[np.float64],
    score: NDArray[np.float64],
    *,
    whole: NDArray[np.bool_],
    fits: NDArray[np.float64],
) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Weighted non-maximum suppression: points [n, 8, 2] and score of each face, those best seen first.

    The best candidate gathers all that show the same face; what is answered is their mean, weighted
    by score and by how well the face's size suited the detector. A face cut by a tile's edge only
    counts where no whole one shows it.
    """
    weight = score * fits
    left = np.lexsort((-weight, ~whole))
    while len(left):
        same = _same_face(points[left[0], :2], points[left, :2])
        same[0] = True
        group = left[same]
        if whole[group[0]]:
            group = group[whole[group]]
        close = group[_iou(points[group[0], :2], points[group, :2]) >= 0.5]
        yield np.average(points[close], axis=0, weights=weight[close]), float(score[group].max())
        left = left[~same]


def _intersection(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = np.minimum(box[1], boxes[:, 1]) - np.maximum(box[0], boxes[:, 0])
    return np.asarray(np.maximum(sides, 0).prod(axis=1))


def _iou(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of a box [2, 2] (corners) with boxes [n, 2, 2]."""
    common = _intersection(box, boxes)
    return np.asarray(common / ((box[1] - box[0]).prod() + (boxes[:, 1] - boxes[:, 0]).prod(axis=1) - common))


def _same_face(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    areas = (boxes[:, 1] - boxes[:, 0]).prod(axis=1)
    smaller = np.minimum((box[1] - box[0]).prod(), areas)
    return np.asarray((_iou(box, boxes) >= _SAME_FACE) | (_intersection(box, boxes) >= _INSIDE * smaller))
