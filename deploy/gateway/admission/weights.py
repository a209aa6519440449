"""What a request weighs: the seconds that work of its model and size takes in a Triton that is not busy."""

import collections

from deploy.gateway.work import Work
from runtime.parameters import STEP_FACTOR

# Before anything of a model and size was measured: for each row, and for each pixel that a decoder goes over.
_UNKNOWN_SECONDS = 0.02
_UNKNOWN_PIXEL_SECONDS = 1e-8
# How much of a new measurement enters the average, once there are enough for a mean.
_NEW_SHARE = 0.05


class Weights:
    """Learned by model, size and work steps, so that photos, crops and batches of crops share one budget.

    Only measurements made in light load enter: under load a request's time is mostly that of others. The
    table is small: served models times the powers of four of a picture's pixels times the steps that a model
    names.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, int, int], float] = {}
        self._count: collections.Counter[tuple[str, int, int]] = collections.Counter()

    def of(self, work: Work) -> float:
        """Seconds, all rows together."""
        model, size, steps = _kind(work)
        for fewer in range(steps + 1):
            known = self._seconds.get((model, size, steps - fewer))
            if known is not None:
                return known * work.cost.rows * STEP_FACTOR**fewer
        unknown = _UNKNOWN_SECONDS * work.cost.rows + _UNKNOWN_PIXEL_SECONDS * work.cost.scan_pixels
        return unknown * STEP_FACTOR**steps

    def __contains__(self, work: Work) -> bool:
        """Whether anything of its model, size and steps was measured."""
        return _kind(work) in self._seconds

    def learn(self, work: Work, seconds: float) -> None:
        """`seconds` is a time in Triton, measured in light load."""
        kind, measured = _kind(work), seconds / work.cost.rows
        known = self._seconds.get(kind, measured)
        self._count[kind] += 1
        share = max(_NEW_SHARE, 1 / self._count[kind])
        self._seconds[kind] = known + share * (measured - known)


def _kind(work: Work) -> tuple[str, int, int]:
    return work.model, (work.cost.scan_pixels // work.cost.rows).bit_length() // 2, work.cost.steps
