"""An event loop whose clock jumps to the next timer: waiting takes no time and repeats exactly."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _NoWaiting(selectors.SelectSelector):
    """Waits for nothing: what would have been waited is added to `now`."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is left to do, and the test still waits")
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code that waits by timers and futures alone; it has no sockets, threads or processes."""

    def __init__(self) -> None:
        self._virtual = _NoWaiting()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual.now


def run_in_virtual_time(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What the coroutine returns, run to its end in a loop of its own; tasks that are left are cancelled."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)
