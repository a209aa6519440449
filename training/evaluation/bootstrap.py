"""Bootstrap over the faces of a test set, by whole persons where persons are known.

A metric is computed for every draw; the middle 95 % of its values are the interval. A draw is a row of
weights, which count how often each face was drawn, so that a metric made of sums over faces is one matrix
product for hundreds of draws.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]  # [draws, faces]
Values = dict[str, NDArray[np.float64]]  # by metric, [draws]

_MIDDLE = (2.5, 97.5)  # percentiles
# Weights in a block: they keep the larger of a metric's intermediate results near 100 MB.
_CELLS = 2_000_000


def clusters_of(persons: Sequence[str] | NDArray[np.str_]) -> NDArray[np.int64]:
    """The cluster of each face [N]: its person, or the face alone where no person is named."""
    names = np.asarray(persons, dtype=np.str_)
    alone = np.char.add("\0", np.arange(len(names)).astype(np.str_))  # a NUL is in no person's name
    _, numbers = np.unique(np.where(names == "", alone, names), return_inverse=True)
    return np.asarray(numbers, dtype=np.int64)


def draws(clusters: NDArray[np.int64], *, count: int, seed: int) -> Iterator[Weights]:
    """`count` draws with replacement of as many clusters as there are, in blocks [rows, N] of weights."""
    if not len(clusters):
        return
    rng = np.random.default_rng(seed)
    number = int(clusters.max()) + 1
    block = max(1, min(count, _CELLS // len(clusters)))
    for start in range(0, count, block):
        rows = min(block, count - start)
        drawn = rng.integers(number, size=(rows, number)) + number * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * number).reshape(rows, number)
        yield times[:, clusters].astype(np.float64)


def intervals(
    values: Callable[[Weights], Values],
    clusters: NDArray[np.int64],
    *,
    count: int,
    seed: int,
    around: Mapping[str, float] | None = None,
) -> Mapping[str, tuple[float, float]]:
    """The 95 % interval of each metric that `values` computes; empty where `count` is 0.

    Draws in which a metric is not defined (no face of a class was drawn) are left out of its interval.
    `around` has the values of those errors that resampling itself raises: their draws are shifted until the
    median draw equals the value.
    """
    blocks = [values(weights) for weights in draws(clusters, count=count, seed=seed)]
    if not blocks:
        return {}
    found = {}
    for name in blocks[0]:
        drawn = np.concatenate([block[name] for block in blocks])
        drawn = drawn[~np.isnan(drawn)]
        if around and name in around and len(drawn):
            drawn = np.maximum(drawn + around[name] - np.median(drawn), 0)
        found[name] = percentiles(drawn)
    return found


def percentiles(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """The ends of the middle 95 % of drawn values without NaN among them; NaN without any."""
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, _MIDDLE) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
