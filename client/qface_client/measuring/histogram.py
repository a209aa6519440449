"""Many durations in little space: counts in bins whose bounds are 1 % apart, as HdrHistogram keeps them.

A percentile of it is at most 1 % above that of the durations themselves; the mean, the least and the most are
exact. Histograms add up, over windows, processes and runs.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .percentiles import rank

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing since Python 3.11

LEAST = 1e-5  # seconds: shorter ones count as this
_STEP = math.log(1.01)
BINS = 2048  # the last one begins after two hours


@dataclasses.dataclass(frozen=True, kw_only=True)
class Histogram:
    """Durations in seconds.

    counts    [BINS] int64: bin i has those in (LEAST * 1.01**(i-1), LEAST * 1.01**i]
    total     their sum; least and most: NaN of none
    """

    counts: NDArray[np.int64]
    total: float = 0.0
    least: float = math.nan
    most: float = math.nan

    @classmethod
    def of(cls, seconds: ArrayLike) -> "Self":
        """Of durations [n]; ValueError for one that is negative or not finite."""
        values = np.asarray(seconds, dtype=np.float64).ravel()
        if not len(values):
            return cls(counts=np.zeros(BINS, np.int64))
        if not np.isfinite(values).all() or values.min() < 0:
            raise ValueError("a duration is negative or not finite")
        bins = np.ceil(np.log(np.maximum(values, LEAST) / LEAST) / _STEP - 1e-9).astype(np.int64)
        return cls(
            counts=np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS),
            total=float(values.sum()),
            least=float(values.min()),
            most=float(values.max()),
        )

    @classmethod
    def merged(cls, parts: Iterable["Histogram"]) -> "Self":
        """All together."""
        held = [part for part in parts if part.count]
        if not held:
            return cls(counts=np.zeros(BINS, np.int64))
        return cls(
            counts=np.sum([part.counts for part in held], axis=0),
            total=sum(part.total for part in held),
            least=min(part.least for part in held),
            most=max(part.most for part in held),
        )

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Seconds; NaN of nothing."""
        return self.total / self.count if self.count else math.nan

    def percentile(self, share: float) -> float:
        """Seconds that this share of the durations does not exceed; NaN of nothing."""
        return percentile_of(self.counts, share, most=self.most)

    def share_below(self, seconds: float) -> float:
        """The share of durations that are at most so long (to 1 %); NaN of nothing."""
        if not self.count:
            return math.nan
        if seconds >= self.most:
            return 1.0
        held = int(np.searchsorted(bounds(), seconds, side="right"))
        return float(self.counts[:held].sum() / self.count)

    def to_json(self) -> dict[str, Any]:
        """Plain data: pairs of bin and count, and the sums."""
        filled = np.flatnonzero(self.counts)
        exact = {"total": self.total, "least": self.least, "most": self.most} if len(filled) else {}
        return {"bins": filled.tolist(), "counts": self.counts[filled].tolist(), **exact}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Self":
        """What `to_json` gave; KeyError, TypeError, ValueError or IndexError for anything else."""
        counts = np.zeros(BINS, np.int64)
        counts[np.asarray(data["bins"], np.int64)] = np.asarray(data["counts"], np.int64)
        if not counts.any():
            return cls(counts=counts)
        return cls(counts=counts, **{name: float(data[name]) for name in ("total", "least", "most")})


def percentile_of(counts: NDArray[np.int64], share: float, *, most: float = math.inf) -> float:
    """The upper bound, in seconds, of the bin in which this share of the counted [BINS] is reached."""
    reached = counts.cumsum()
    if not reached[-1]:
        return math.nan
    wanted = rank(share, reached[-1])
    return min(float(bounds()[int(np.searchsorted(reached, wanted))]), most)


def bounds() -> NDArray[np.float64]:
    """The upper bound of each bin [BINS], in seconds."""
    return _BOUNDS


_BOUNDS: NDArray[np.float64] = LEAST * np.exp(_STEP * np.arange(BINS))
