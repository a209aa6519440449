"""What differs between two measurements beyond noise.

A measurement has blocks: windows of a stage, rounds of a row. A quantity of all blocks together (a
percentile, a rate, core-ms) is computed again of blocks drawn with replacement: how far it scatters is its
standard error. The interval of after/before takes Student's quantile on it, on a logarithmic scale, since
there are few blocks and percentiles are skewed; Welch's degrees of freedom stand for both numbers of blocks.
Neighbouring blocks are put together where there are many, so that what carries over from one to the next
counts once.

A difference is beyond noise where its interval excludes "the same" and it is larger than a floor, which
stands for what one run differs from its own repetition (memory that lies elsewhere, processes on other
cores): no block of a run shows that.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .histogram import BINS, Histogram, bounds
from .percentiles import rank

FLOOR = 0.05
LEVEL = 0.95
FLOORS_WITHOUT_BLOCKS = 2  # of a quantity that was measured once, so that there is no interval
_DRAWS = 500
_MOST_BLOCKS = 20
_SEED = 17
_MOST_EXPONENT = 700.0  # of a float

Weights = NDArray[np.float64]  # [draws, blocks]: how often each block is in each draw


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blocks:
    """A quantity of several blocks together.

    count       of blocks
    values      the quantity of each draw [draws] from the weights [draws, blocks]
    """

    count: int
    values: Callable[[Weights], NDArray[np.float64]]

    @functools.cached_property
    def value(self) -> float:
        """Of all blocks, each once; NaN where they hold nothing."""
        return float(self.values(np.ones((1, self.count)))[0])

    @functools.cached_property
    def draws(self) -> NDArray[np.float64]:
        """Of blocks drawn with replacement [draws]."""
        return self.values(_drawn(self.count))


@functools.cache
def _drawn(count: int) -> Weights:
    """How often each of so many blocks is in each draw [draws, count]; the same at every call."""
    random = np.random.default_rng(_SEED)
    return random.multinomial(count, np.full(count, 1 / count), size=_DRAWS).astype(np.float64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """One quantity in both measurements.

    low, high       interval of after/before, of after - before where `absolute`; None if measured once
    beyond_noise    whether the interval excludes "the same" and the difference is larger than the floor
    """

    before: float
    after: float
    low: float | None
    high: float | None
    beyond_noise: bool
    absolute: bool = False

    @property
    def change(self) -> float:
        """0.1 is 10 % more than before; 0 where there was nothing before."""
        return self.after / self.before - 1 if self.before else 0.0


def quotient(numerators: ArrayLike, denominators: ArrayLike) -> Blocks:
    """A sum over another: answers over seconds, core-ms over answers; both [blocks]."""
    above, below = (
        _together(np.asarray(values, dtype=np.float64)[:, None])[:, 0]
        for values in (numerators, denominators)
    )

    def values(weights: Weights) -> NDArray[np.float64]:
        whole = weights @ below
        return np.divide(weights @ above, whole, out=np.full(len(weights), math.nan), where=whole > 0)

    return Blocks(count=len(above), values=values)


def percentile(histograms: Sequence[Histogram], share: float) -> Blocks:
    """A percentile of durations, in seconds; a histogram a block."""
    counts = _together(np.array([each.counts for each in histograms]).reshape(-1, BINS))
    filled = np.flatnonzero(counts.sum(axis=0))
    counts = counts[:, filled].astype(np.float64)

    def values(weights: Weights) -> NDArray[np.float64]:
        reached = (weights @ counts).cumsum(axis=1)
        if not len(filled):
            return np.full(len(weights), math.nan)
        wanted = rank(share, reached[:, -1:])
        found: NDArray[np.float64] = bounds()[
            filled[(reached < wanted).sum(axis=1).clip(max=len(filled) - 1)]
        ]
        found[reached[:, -1] == 0] = math.nan
        return found

    return Blocks(count=len(counts), values=values)


def median(rounds: Sequence[float]) -> Blocks:
    """The median of rounds, each of which measured the quantity itself."""
    given = np.asarray(rounds, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    ordered = given[order]

    def values(weights: Weights) -> NDArray[np.float64]:
        reached = weights[:, order].cumsum(axis=1)
        half = reached[:, -1:] / 2
        low = ordered[(reached < half).sum(axis=1)]
        high = ordered[(reached <= half).sum(axis=1).clip(max=len(ordered) - 1)]
        middle: NDArray[np.float64] = (low + high) / 2
        return middle

    return Blocks(count=len(ordered), values=values)


def difference(
    before: Blocks, after: Blocks, *, floor: float = FLOOR, level: float = LEVEL, absolute: bool = False
) -> Difference:
    """Of one quantity, which a positive number is; 0 on one side only is infinitely far.

    floor       the least relative difference that counts; the least difference where `absolute`
    level       of the interval: where m quantities are compared, 1 - 0.05 / m holds for all together
    """
    first, second = before.value, after.value
    known = math.isfinite(first) and math.isfinite(second)
    if not known or min(before.count, after.count) < 2:
        return once(first, second, floor=floor, absolute=absolute)
    logarithmic = not absolute and all(
        np.nanmin(np.append(each.draws, each.value)) > 0 for each in (before, after)
    )
    scale: Callable[[Any], Any] = np.log if logarithmic else np.asarray
    apart = float(scale(second) - scale(first))
    spread = _spread(before, after, scale, level)
    low, high = apart - spread, apart + spread
    excluded = low > 0 or high < 0
    if logarithmic:
        low, high = _exp(low), _exp(high)
    elif not absolute:  # relative to before, which is 0 or was in some draw
        low, high = ((first + each) / first if first else math.inf for each in (low, high))
    return Difference(
        before=first,
        after=second,
        low=low,
        high=high,
        beyond_noise=excluded and _beyond_floor(first, second, floor, absolute),
        absolute=absolute,
    )


def _exp(value: float) -> float:
    """Infinite where no float is so large: two blocks that differ much exclude nothing."""
    return math.exp(value) if value < _MOST_EXPONENT else math.inf


def once(before: float, after: float, *, floor: float = FLOOR, absolute: bool = False) -> Difference:
    """Of a quantity that was measured once on each side: only a difference of twice the floor counts."""
    wide = FLOORS_WITHOUT_BLOCKS * floor
    known = math.isfinite(before) and math.isfinite(after)
    return Difference(
        before=before,
        after=after,
        low=None,
        high=None,
        beyond_noise=known and _beyond_floor(before, after, wide, absolute),
        absolute=absolute,
    )


def _beyond_floor(before: float, after: float, floor: float, absolute: bool) -> bool:
    return abs(after - before) > floor * (1.0 if absolute else abs(before))


def _spread(before: Blocks, after: Blocks, scale: Callable[[Any], Any], level: float) -> float:
    """Half of the interval's width, on the scale."""
    # A draw of n blocks scatters by (n - 1) / n of the variance.
    variances = [
        float(np.nanvar(scale(each.draws))) * each.count / (each.count - 1) for each in (before, after)
    ]
    whole = sum(variances)
    if not whole:
        return 0.0
    freedom = whole**2 / sum(
        variance**2 / (each.count - 1) for variance, each in zip(variances, (before, after), strict=True)
    )
    return student_quantile((1 + level) / 2, max(1, math.floor(freedom))) * math.sqrt(whole)


@functools.cache
def student_quantile(share: float, freedom: int) -> float:
    """What a Student-distributed number of so many degrees of freedom stays below with this probability.

    share: from 0.5 on, below 1
    """
    low, high = 0.0, 1.0
    while _student(high, freedom) < share:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student(middle, freedom) < share else (low, middle)
    return high


def _student(value: float, freedom: int) -> float:
    """Its distribution function at a value from 0 on (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(value / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for index in range(1 + odd, freedom, 2):
        total += term
        term *= square * index / (index + 1)
    between = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return (1 + between) / 2


def _together(blocks: NDArray[Any]) -> NDArray[Any]:
    """Blocks [n, ...] of which neighbours are added up until there are few [at most _MOST_BLOCKS, ...]."""
    if len(blocks) <= _MOST_BLOCKS:
        return blocks
    return np.array([part.sum(axis=0) for part in np.array_split(blocks, _MOST_BLOCKS)])
