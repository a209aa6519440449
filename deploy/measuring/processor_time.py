"""Processor time of other processes."""

import time


def cpu_seconds(*pids: int) -> float:
    """Processor time that these processes have taken together, in nanosecond steps; OSError for one gone."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)  # Linux's clock id for another's time
