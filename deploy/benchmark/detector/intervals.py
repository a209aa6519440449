"""95 % intervals of shares and means."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from qface_client.measuring.percentiles import middle

_Z = 1.959964  # of 95 %
_DRAWS = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure, and between what it lies with 95 %."""

    value: float
    low: float
    high: float


def share_interval(hits: Sequence[bool] | ArrayLike) -> Interval:
    """The share of hits with Wilson's score interval (1927). ValueError where nothing was tried."""
    tried = np.asarray(hits, dtype=bool)
    n = tried.size
    if not n:
        raise ValueError("a share of no trials")
    share = float(tried.mean())
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * float(np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)))
    return Interval(value=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def mean_interval(values: ArrayLike) -> Interval:
    """The mean with its bootstrap interval (percentiles, drawn by a fixed seed). ValueError for no values."""
    known = np.asarray(values, dtype=np.float64)
    if not known.size:
        raise ValueError("a mean of no values")
    drawn = np.random.default_rng(0).integers(known.size, size=(_DRAWS, known.size))
    low, high = middle(known[drawn].mean(axis=1))
    return Interval(value=float(known.mean()), low=low, high=high)
