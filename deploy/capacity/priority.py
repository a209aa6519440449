"""Before all other processes of a busy machine, for as long as something is measured."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_SLICE = Path("/proc/sys/kernel/sched_rr_timeslice_ms")
# About what the usual scheduler gives a thread at a time; with the 100 ms that are set otherwise short work
# would wait for long work as it never does.
_SLICE_MS = "4"


@contextlib.contextmanager
def before_others(pids: Callable[[], Sequence[int]]) -> Iterator[None]:
    """Until its end all threads of these processes come before all others, and share the cores in turns.

    High niceness would not do: a core on which others' threads run is not idle to the usual scheduler, so it
    puts two of ours on one core where it could give each its own. Raises PermissionError for a user who may
    not.
    """
    usual = _SLICE.read_text()
    _SLICE.write_text(_SLICE_MS)
    try:
        _schedule(pids(), os.SCHED_RR, priority=1)
        yield
    finally:
        _schedule(pids(), os.SCHED_OTHER, priority=0)
        _SLICE.write_text(usual)


def share_of_others() -> float:
    """The share of a busy core that the kernel keeps for all others even so."""
    limit = Path("/proc/sys/kernel/sched_rt_runtime_us"), Path("/proc/sys/kernel/sched_rt_period_us")
    runtime, period = (float(file.read_text()) for file in limit)
    return 0.0 if runtime < 0 else max(0.0, 1 - runtime / period)


def _schedule(pids: Sequence[int], policy: int, *, priority: int) -> None:
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))
