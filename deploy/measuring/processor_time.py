"""Processor time of other processes, and of calls in this one."""

import statistics
import time
from collections.abc import Callable, Mapping


def cpu_seconds(*pids: int) -> float:
    """Processor time that these processes have taken together, in nanosecond steps; OSError for one gone."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)  # Linux's clock id for another's time


def core_ms(
    calls: Mapping[str, Callable[[], object]], *, rounds: int, seconds: float = 0.0
) -> dict[str, float]:
    """Processor milliseconds of this process that each call takes: the median of rounds, all in turns.

    seconds     of processor time in which a call is repeated in a round; it is made once at least

    One call of each comes before, for what is made once.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            began, count = time.process_time(), 0
            while not count or time.process_time() - began < seconds:
                call()
                count += 1
            taken[name].append(1e3 * (time.process_time() - began) / count)
    return {name: statistics.median(values) for name, values in taken.items()}
