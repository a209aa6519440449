"""What a request weighs: the seconds that work of its model and size takes in a Triton that is not busy."""

from deploy.gateway.work import Work

# Before anything of a model and size was measured.
_UNKNOWN_SECONDS = 0.02
# How much of a new measurement enters the average.
_NEW_SHARE = 0.05


class Weights:
    """Learned by model and size, so that photos, crops and batches of crops share one budget.

    Only measurements made in light load enter: under load a request's time is mostly that of others. The
    table is small: served models times the powers of four of a picture's pixels.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, int], float] = {}

    def of(self, work: Work) -> float:
        """Seconds, all rows together."""
        return self._seconds.get(_kind(work), _UNKNOWN_SECONDS) * work.cost.rows

    def __contains__(self, work: Work) -> bool:
        """Whether anything of its model and size was measured."""
        return _kind(work) in self._seconds

    def learn(self, work: Work, seconds: float) -> None:
        """`seconds` is a time in Triton, measured in light load."""
        kind, measured = _kind(work), seconds / work.cost.rows
        known = self._seconds.get(kind)
        self._seconds[kind] = measured if known is None else known + _NEW_SHARE * (measured - known)


def _kind(work: Work) -> tuple[str, int]:
    return work.model, (work.cost.scan_pixels // work.cost.rows).bit_length() // 2
