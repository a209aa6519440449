"""How far an answer may be off: its expected error, and what an interval makes of it.

A network states for each answer how large its absolute error is on average. How often the truth lies within
so many of these was measured, and stands in the contract.
"""

import dataclasses
import itertools
import math

DRAWN_SHARE = 0.8  # of the true values that lie within what is drawn and printed


@dataclasses.dataclass(frozen=True, kw_only=True)
class ErrorBounds:
    """How the expected errors of a task's answers are read.

    `within` has pairs (p, f), both increasing: the share p of the true values lies within f times the
    expected error of the answer. ValueError for pairs that are not so.
    """

    unit: str  # of the expected error
    within: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        inside = all(0 < share < 1 and 0 < factor < math.inf for share, factor in self.within)
        rising = all(a[0] < b[0] and a[1] <= b[1] for a, b in itertools.pairwise(self.within))
        if not (self.within and inside and rising):
            raise ValueError(f"`within` of an error has rising pairs (share, factor), not {self.within}")

    def factor(self, share: float) -> float:
        """By how much the expected error is multiplied, for `share` of the true values to lie within.

        Between two measured pairs it is linear in log(1 - share), which is exact for errors that fall off
        exponentially; before the first and beyond the last pair it is proportional to that. ValueError where
        `share` is not between 0 and 1.
        """
        tail = _tail(share)
        tails = [_tail(measured) for measured, _ in self.within]
        factors = [factor for _, factor in self.within]
        if tail <= tails[0]:
            return factors[0] * tail / tails[0]
        for i in range(1, len(tails)):
            if tail <= tails[i]:
                part = (tail - tails[i - 1]) / (tails[i] - tails[i - 1])
                return factors[i - 1] + part * (factors[i] - factors[i - 1])
        return factors[-1] * tail / tails[-1]


def factor_of(bounds: ErrorBounds | None, share: float) -> float | None:
    """`bounds.factor(share)`, None without bounds; ValueError as of it."""
    _tail(share)
    return None if bounds is None else bounds.factor(share)


def _tail(share: float) -> float:
    """-log(1 - share), which rises from 0 without end."""
    if not 0 < share < 1:
        raise ValueError(f"an interval's share of the true values lies between 0 and 1, not {share!r}")
    return -math.log1p(-share)
