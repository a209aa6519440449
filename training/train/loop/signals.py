"""SIGTERM and SIGINT end a run after its step; a second one ends it at once."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


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
