"""Ends the calls of threads that work for one consumer, when it wants their results no more.

A thread's call can't be ended from outside: the consumer's `Stop` is the thread's for the time of a call, and
where the call waits it asks it (`check_wanted`), or is cancelled by it (`Stop.cancels`).
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

_of_thread = threading.local()


class Abandoned(Exception):
    """Nobody wants the result of this call."""


class Stop:
    """The end of several calls, each in a thread of its own."""

    def __init__(self) -> None:
        self._stopped = False
        self._consumer = threading.current_thread()
        self._cancels: set[Callable[[], Any]] = set()
        self._lock = threading.Lock()

    @property
    def unwanted(self) -> bool:
        """Whether the calls were stopped, or the interpreter ends and whoever consumes them can't go on."""
        if self._stopped:
            return True
        if threading.main_thread().is_alive():
            return False
        return self._consumer.daemon or not self._consumer.is_alive()

    def consumed_here(self) -> None:
        """This thread takes the results; another one may have taken those before."""
        self._consumer = threading.current_thread()

    def stop(self) -> None:
        """End the calls under way, and all that come."""
        with self._lock:
            self._stopped = True
            cancels = list(self._cancels)
        for cancel in cancels:
            cancel()

    @contextlib.contextmanager
    def ends_calls(self) -> Iterator[None]:
        """The calls of this thread, within this context, end with `stop()`: they raise Abandoned."""
        _of_thread.stop = self
        try:
            yield
        finally:
            del _of_thread.stop

    @contextlib.contextmanager
    def cancels(self, cancel: Callable[[], Any]) -> Iterator[None]:
        """`stop()` calls `cancel`, within this context."""
        with self._lock:
            self._cancels.add(cancel)
            stopped = self._stopped
        try:
            if stopped:
                cancel()
            yield
        finally:
            with self._lock:
                self._cancels.discard(cancel)


def check_wanted() -> None:
    """Raise Abandoned where nobody wants the results of the thread's calls."""
    if (stop := stop_of_thread()) is not None and stop.unwanted:
        raise Abandoned


def stop_of_thread() -> Stop | None:
    """What may end the thread's calls; None: nothing does."""
    return getattr(_of_thread, "stop", None)
