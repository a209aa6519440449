"""When a load has settled: three windows in a row that are alike."""

import math
from collections.abc import Sequence

from deploy.loadtest.loads import ClosedLoop, Load
from deploy.loadtest.windows.fold import Arrivals

WINDOWS = 3  # in a row
# A queue of two is within what chance arrivals do to a server that keeps up.
_BACKLOG = 2


def steady(load: Load, windows: Sequence[Arrivals], *, spread: float) -> bool:
    """Whether the last three windows lie within the spread of their mean.

    A closed loop: answers a second (to one answer, as they are counted) and median latency. An open loop: the
    median, and what is outstanding at their ends does not grow; the arrivals vary by themselves.
    """
    last = windows[-WINDOWS:]
    if len(last) < WINDOWS or any(not window.ended for window in last):
        return False
    medians_alike = _alike([window.median for window in last], spread)
    if isinstance(load, ClosedLoop):
        return medians_alike and _alike([window.ended for window in last], spread, slack=1)
    grown = last[-1].outstanding - last[0].outstanding
    return medians_alike and grown <= _BACKLOG + spread * sum(window.ended + window.failed for window in last)


def _alike(values: Sequence[float], spread: float, *, slack: float = 0.0) -> bool:
    mean = math.fsum(values) / len(values)
    return all(abs(value - mean) <= spread * mean + slack for value in values)
