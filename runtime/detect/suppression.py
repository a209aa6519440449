"""Non-maximum suppression: many candidates of a detector become one box for each face."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Two boxes are one face from this overlap on (intersection over union).
_SAME_FACE = 0.3
# ... or when this part of the smaller one lies inside the larger one.
_INSIDE = 0.7
# Boxes that overlap so much with the best one make the mean with it.
_CLOSE = 0.5


def merge_candidates(
    points: NDArray[np.float64],
    score: NDArray[np.float64],
    *,
    whole: NDArray[np.bool_],
    fits: NDArray[np.float64],
) -> Iterator[tuple[NDArray[np.float64], float, NDArray[np.int_]]]:
    """Weighted non-maximum suppression of points [n, 8, 2]; the faces that are best seen come first.

    Of each face its points [8, 2], its score and the numbers of the candidates that show it.

    The best candidate gathers all that show the same face; what is answered is their mean, weighted
    by score and by how well the face's size suited the detector. A face cut by a tile's edge only
    counts where no whole one shows it.
    """
    weight = score * fits
    order = np.lexsort((-weight, ~whole))
    left = _Boxes(points[order, :2], number=order)
    while len(left.number):
        first = int(left.number[0])
        common = left.common(0)
        overlap = common / (left.area[0] + left.area - common)
        smaller = np.minimum(left.area[0], left.area)
        same = (overlap >= _SAME_FACE) | (common >= _INSIDE * smaller)
        same[0] = True
        shown = same & whole[left.number] if whole[first] else same
        close = left.number[shown & (overlap >= _CLOSE)]
        mean = np.tensordot(weight[close] / weight[close].sum(), points[close], axes=1)
        members = left.number[shown]
        yield mean, float(score[members].max()), members
        left = left.without(same)


class _Boxes:
    """Boxes [n, 2, 2] (corners), each with a number; every edge in an array of its own, as thousands of faces
    are compared with all the rest."""

    def __init__(self, corners: NDArray[np.float64], *, number: NDArray[np.int_]) -> None:
        self.number = number
        self.edges = [np.ascontiguousarray(corners[:, at, axis]) for at in (0, 1) for axis in (0, 1)]
        left, top, right, bottom = self.edges
        self.area = (right - left) * (bottom - top)

    def common(self, index: int) -> NDArray[np.float64]:
        """The area that each box has in common with one of them."""
        left, top, right, bottom = self.edges
        width = np.minimum(right[index], right) - np.maximum(left[index], left)
        height = np.minimum(bottom[index], bottom) - np.maximum(top[index], top)
        return np.asarray(np.maximum(width, 0) * np.maximum(height, 0))

    def without(self, gone: NDArray[np.bool_]) -> "_Boxes":
        """The other boxes."""
        rest = object.__new__(_Boxes)
        kept = ~gone
        rest.number, rest.area = self.number[kept], self.area[kept]
        rest.edges = [edge[kept] for edge in self.edges]
        return rest
