"""TensorRT's messages and progress, and Ctrl-C while it builds."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


def error_logger(trt: Any, messages: list[str]) -> Any:
    """A logger that keeps TensorRT's errors in `messages`; the rest, thousands of lines, is dropped."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                messages.append(" ".join(message.split()))

    return Logger()


def progress_monitor(trt: Any, log: Callable[[str], None]) -> Any:
    """Logs the builder's larger phases; the build ends at its next step once the monitor is `stopped`."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped = False
            self._depths: dict[str, int] = {}

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            depth = self._depths[name] = 0 if parent is None else self._depths.get(parent, 0) + 1
            if depth <= 2:
                log(f"{'  ' * (depth + 2)}{name}")

        def step_complete(self, name: str, step: int) -> bool:
            return not self.stopped

        def phase_finish(self, name: str) -> None:
            return

    return Monitor()


@contextlib.contextmanager
def stopped_by_interrupt(monitor: Any) -> Iterator[None]:
    """Ctrl-C stops the builder instead of raising: an exception must not cross TensorRT's own code."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        monitor.stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
