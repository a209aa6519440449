"""What one round of a measurement gave."""

import dataclasses
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """What one round of one row gave.

    core_seconds: processor time by process (of what runs in one process: by step), idle time subtracted.
    latencies: seconds, one an answer; none where answers are not waited for one by one.
    """

    answers: int
    seconds: float
    core_seconds: Mapping[str, float]
    latencies: Sequence[float] = ()

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds
