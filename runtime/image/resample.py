"""A part of a picture at another size, by a kernel along each axis; it may begin and end within pixels."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

# Weights of source pixels by their distances from the middle of a new one, and how many of them that covers.
Kernel = Callable[[NDArray[np.float64], float], NDArray[np.float64]]

_ROWS = 16  # that are sampled at once: they see a small part of the picture only


def resample(
    image: NDArray[np.uint8],
    *,
    part: ArrayLike,
    size: tuple[int, int],
    kernel: Kernel,
    reach: Callable[[float], float],
) -> NDArray[np.uint8]:
    """A part of a picture [h, w, 3] uint8 as [size y, size x, 3].

    `part` [2, 2] is its first and last corner, x and y, measured from the picture's edges. `reach` is the
    distance from which on `kernel` gives nothing, for so many source pixels of a new one.
    """
    (left, top), (right, bottom) = np.asarray(part, dtype=np.float64)
    values = image.astype(np.float32).transpose(1, 0, 2)
    across = _along_rows(values, left, right, count=size[0], kernel=kernel, reach=reach)
    values = np.clip(across, 0, 255).transpose(1, 0, 2)
    both = _along_rows(values, top, bottom, count=size[1], kernel=kernel, reach=reach)
    return np.asarray(np.clip(np.rint(both), 0, 255), dtype=np.uint8)


def average(image: NDArray[np.uint8], *, part: ArrayLike, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A part of a picture, as `resample` takes it, of which each new pixel is the mean of what it covers.

    Between its pixels the picture is what Keys's cubic interpolation (1981, a = -0.75) gives: so one that a
    JPEG decoder reduced gives nearly what the full one would.
    """
    (left, top), (right, bottom) = np.asarray(part, dtype=np.float64)
    # Down first: rows need no exchange of axes, and what is left to exchange is smaller.
    down = _means(image.astype(np.float32), top, bottom, count=size[1])
    both = _means(cv2.transpose(down), left, right, count=size[0])
    # Rounded and kept within a byte.
    return np.asarray(cv2.transpose(cv2.convertScaleAbs(np.maximum(both, 0))), dtype=np.uint8)


def _means(values: NDArray[Any], first: float, last: float, *, count: int) -> NDArray[np.float32]:
    """[n, m, 3] -> [count, m, 3], along the first axis, of which `first` to `last` is shown."""
    flat = values.reshape(len(values), -1)
    edges = np.linspace(first, last, count + 1)
    # Each mean takes the pixels that it covers and two more at each end, of those that there are.
    lowest = np.floor(edges[:-1]).astype(int) - 2
    taken = lowest[:, None] + np.arange(int(np.ceil((last - first) / count)) + 5)
    weights = _integral(edges[1:, None] - taken - 0.5) - _integral(edges[:-1, None] - taken - 0.5)
    weights[(taken < 0) | (taken >= len(values))] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    taken = np.clip(taken, 0, len(values) - 1)
    means = np.empty((count, flat.shape[1]), dtype=np.float32)
    for row in range(0, count, _ROWS):
        block = slice(row, min(row + _ROWS, count))
        low, high = taken[block].min(), taken[block].max() + 1
        table = np.zeros((block.stop - row, high - low), dtype=np.float32)
        np.add.at(table, (np.arange(block.stop - row)[:, None], taken[block] - low), weights[block])
        np.matmul(table, flat[low:high], out=means[block])
    return means.reshape(count, *values.shape[1:])


def _integral(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of Keys's kernel with a = -0.75, from 0 to a distance."""
    t = np.minimum(np.abs(distance), 2.0)
    near = ((1.25 * t / 4 - 2.25 / 3) * t * t + 1) * t
    # From 1 on, with what lies before.
    far = (((-0.75 * t / 4 + 3.75 / 3) * t - 3.0) * t + 3.0) * t - 0.5
    return np.copysign(np.where(t < 1, near, far), distance)


def _along_rows(
    values: NDArray[np.float32],
    first: float,
    last: float,
    *,
    count: int,
    kernel: Kernel,
    reach: Callable[[float], float],
) -> NDArray[np.float32]:
    """[n, m, 3] -> [count, m, 3], along the first axis, of which `first` to `last` is shown."""
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    step = (last - first) / count
    far = reach(step)
    sampled = np.empty((count, flat.shape[1]), dtype=np.float32)
    for row in range(0, count, _ROWS):
        stop = min(row + _ROWS, count)
        centers = first + (np.arange(row, stop) + 0.5) * step
        low = max(0, int(centers[0] - far))
        high = min(len(values), int(centers[-1] + far) + 2)
        weights = kernel(centers[:, None] - (np.arange(low, high) + 0.5), step)
        weights /= weights.sum(axis=1, keepdims=True)
        sampled[row:stop] = weights.astype(np.float32) @ flat[low:high]
    return sampled.reshape(count, *values.shape[1:])
