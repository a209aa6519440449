"""SIGTERM and SIGINT end a run after its step; a second one ends it at once."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


def leave_signals_to_the_run(_worker: int) -> None:
    """For processes that draw batches: a signal to the whole group ends them no sooner than the run.

    systemd, torchrun and a terminal's Ctrl-C signal the group. A run whose batches stop can't save its state.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


class StopSignals:
    """Notes the signals that shall stop a run. `received` is the last one's number; 0: none."""

    def __init__(self) -> None:
        self.received = 0

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Inside, the first signal is noted, and the next one acts as it did before."""

        def note(number: int, frame: FrameType | None) -> None:
            self.received = number
            signal.signal(number, before[signal.Signals(number)])

        numbers = (signal.SIGTERM, signal.SIGINT)
        try:
            before = {number: signal.signal(number, note) for number in numbers}
        except ValueError:  # not in the main thread: signals are someone else's business
            yield
            return
        try:
            yield
        finally:
            for number in numbers:
                signal.signal(number, before[number])
