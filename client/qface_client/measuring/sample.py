"""What one round of a measurement gave."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing since Python 3.11

CLIENT = "client"  # the part of those who call


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """What one round of one row gave.

    core_seconds: processor time by process (of what runs in one process: by step).
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

    @property
    def core_ms(self) -> dict[str, float]:
        """Processor milliseconds of an answer, by process; ValueError where nothing was answered."""
        if self.answers < 1:
            raise ValueError("nothing was answered: measure longer with --seconds")
        return {part: 1e3 * seconds / self.answers for part, seconds in self.core_seconds.items()}

    def without_idle(self, idle: Mapping[str, float]) -> "Self":
        """Without what its processes would have taken anyway, processor seconds a second by part.

        No part takes less than nothing.
        """
        spent = {
            part: max(0.0, seconds - idle.get(part, 0.0) * self.seconds)
            for part, seconds in self.core_seconds.items()
        }
        return dataclasses.replace(self, core_seconds=spent)

    @classmethod
    def together(cls, samples: Iterable["Sample"]) -> "Self":
        """Of several that were taken at the same time."""
        held = list(samples)
        parts = dict.fromkeys(part for sample in held for part in sample.core_seconds)
        return cls(
            answers=sum(sample.answers for sample in held),
            seconds=max(sample.seconds for sample in held),
            core_seconds={part: sum(sample.core_seconds.get(part, 0.0) for sample in held) for part in parts},
            latencies=[latency for sample in held for latency in sample.latencies],
        )
