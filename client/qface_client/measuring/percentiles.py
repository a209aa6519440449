"""Percentiles, as all reports of this project state them."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)  # that a report of latencies has


def percentile(values: ArrayLike, share: float) -> float:
    """The smallest value that this share of the values does not exceed; NaN of nothing."""
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=None)
    return float(ordered[int(rank(share, len(ordered))) - 1]) if len(ordered) else math.nan


def rank(share: float, counts: ArrayLike) -> NDArray[np.int64]:
    """How many values that share of each of these counts is [...], rounded up, 1 or more."""
    # 0.07 * 100 is a little more than 7.
    return np.asarray(np.maximum(1, np.ceil(share * np.asarray(counts) - 1e-6)), dtype=np.int64)


def middle(values: ArrayLike, share: float = 0.95) -> tuple[float, float]:
    """The ends of the middle `share` of the values: the interval of a bootstrap's draws."""
    tail = (1 - share) / 2
    return percentile(values, tail), percentile(values, 1 - tail)


def percentile_name(share: float) -> str:
    """0.999 -> "p99.9"."""
    return f"p{100 * share:g}"
