"""Whether a series grows with the number of requests: a robust slope, its interval, and a verdict by a rule.

The slope is the median over all pairs of points (Theil, 1950; Sen, 1968), so that a single step or a few
outliers do not make one. Points near in time are not independent, so its interval comes from a
moving-block bootstrap of the residuals (Künsch, 1989), in blocks of about the square root of their number.
Where a process was replaced, pairs and blocks stay within the life of one.
"""

import dataclasses
import enum
import math
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from qface_client.measuring.percentiles import middle

SETTLE = 500  # requests: what a process allocates with its first ones is no growth
PER = 1_000  # requests of a slope
HORIZON = 100_000  # requests over which growth is projected
TOLERATED = 0.05  # of the start, over the horizon
LEAST_POINTS = 8
_REPLICATES = 300
_ENDS = 5  # points whose median is the start or the end
_MOST_POINTS = 240  # of one life: pairs grow with the square


class Verdict(enum.Enum):
    """What a series does."""

    FLAT = "flat"
    SETTLES = "settles"  # it grows, but no more in the second half
    GROWS = "grows"
    TOO_SHORT = "too short"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One measured value.

    life    of which process (or which set of them) it is a value
    """

    requests: int
    value: float
    life: Hashable = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trend:
    """A series in short: slopes are per 1,000 requests."""

    start: float
    end: float
    slope: float
    low: float  # 95 % interval of the slope
    high: float
    verdict: Verdict
    points: int


Life = tuple[NDArray[np.float64], NDArray[np.float64]]  # requests, values


def trend(points: Iterable[Point], *, settle: int = SETTLE, seed: int = 0) -> Trend:
    """The trend of a series, without the first `settle` requests of each life.

    It grows if the whole interval of its slope is above 0 and the slope, over 100,000 requests, comes to 5 %
    of the start or more. Where that holds for the whole, and not for the second half of the longest life
    alone, it settles.
    """
    lives = _settled(points, settle=settle)
    values = np.concatenate([life[1] for life in lives]) if lives else np.empty(0)
    if len(values) < LEAST_POINTS:
        first, last = (float(values[0]), float(values[-1])) if len(values) else (math.nan, math.nan)
        return Trend(
            start=first,
            end=last,
            slope=math.nan,
            low=math.nan,
            high=math.nan,
            verdict=Verdict.TOO_SHORT,
            points=len(values),
        )
    ends = min(_ENDS, len(values) // 2)
    start, end = float(np.median(values[:ends])), float(np.median(values[-ends:]))
    slope, low, high = _slope(lives, seed=seed)
    verdict = Verdict.FLAT
    if _grows(slope, low, start=start):
        verdict = Verdict.GROWS
        half = _second_half(lives)
        if len(half[0][0]) >= LEAST_POINTS:
            later, later_low, _ = _slope(half, seed=seed)
            if not _grows(later, later_low, start=start):
                verdict = Verdict.SETTLES
    return Trend(start=start, end=end, slope=slope, low=low, high=high, verdict=verdict, points=len(values))


def _grows(slope: float, low: float, *, start: float) -> bool:
    return low > 0 and slope * HORIZON / PER >= TOLERATED * start


def _settled(points: Iterable[Point], *, settle: int) -> list[Life]:
    by_life: dict[Hashable, list[Point]] = {}
    for point in points:
        by_life.setdefault(point.life, []).append(point)
    lives = []
    for of_one in by_life.values():
        born = of_one[0].requests
        kept = [point for point in of_one if point.requests >= born + settle]
        if born == 0:  # measured from its beginning
            kept = [point for point in of_one if point.requests >= settle]
        if len(kept) >= 2:
            requests = np.array([point.requests for point in kept], dtype=np.float64)
            values = np.array([point.value for point in kept], dtype=np.float64)
            lives.append((requests, values))
    return lives


def _second_half(lives: Sequence[Life]) -> list[Life]:
    """Of the longest life the later half: each process warms up anew."""
    requests, values = max(lives, key=lambda life: life[0][-1] - life[0][0])
    later = requests >= (requests[0] + requests[-1]) / 2
    return [(requests[later], values[later])]


def _slope(lives: Sequence[Life], *, seed: int) -> tuple[float, float, float]:
    """The slope per 1,000 requests, and its interval."""
    thinned = [_thinned(life) for life in lives]
    if all(np.all(values == values[0]) for _, values in thinned):
        return 0.0, 0.0, 0.0
    pairs = [np.triu_indices(len(requests), k=1) for requests, _ in thinned]
    widths = [
        requests[late] - requests[early] for (requests, _), (early, late) in zip(thinned, pairs, strict=True)
    ]

    def median_slope(series: Sequence[NDArray[np.float64]]) -> float:
        slopes = [
            (values[late] - values[early]) / width
            for values, (early, late), width in zip(series, pairs, widths, strict=True)
        ]
        return float(np.median(np.concatenate(slopes)))

    slope = median_slope([values for _, values in thinned])
    residuals = [values - slope * requests for requests, values in thinned]
    random = np.random.default_rng(seed)
    replicates = [
        slope + median_slope([_blocks(of_one, random) for of_one in residuals]) for _ in range(_REPLICATES)
    ]
    low, high = middle(replicates)
    return PER * slope, PER * low, PER * high


def _thinned(life: Life) -> Life:
    step = math.ceil(len(life[0]) / _MOST_POINTS)
    return life[0][::step], life[1][::step]


def _blocks(residuals: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """As many residuals again, in blocks of neighbours that were drawn with replacement."""
    count = len(residuals)
    size = max(1, round(math.sqrt(count)))
    starts = random.integers(0, count - size + 1, math.ceil(count / size))
    drawn = (starts[:, None] + np.arange(size)).ravel()[:count]
    return np.asarray(residuals[drawn], dtype=np.float64)
