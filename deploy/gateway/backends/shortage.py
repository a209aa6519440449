"""Shortage: the shared memory is full. Nobody is sick of it; the log names it, and what to do."""

import contextlib
import time
from collections.abc import Callable

from deploy.embedded.host_check import SharedMemory
from deploy.embedded.process_guard import SHARED_MEMORY

_LOG_SECONDS = 60.0  # between two sentences, as long as it lasts


class Shortage:
    """Reports that requests found no shared memory, at most once a minute: the event "shared_memory_full"."""

    def __init__(
        self, on_event: Callable[[str, str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_event = on_event
        self._clock = clock
        self._next = 0.0

    def found(self, model: str = "a request") -> str:
        """A model, or a request, found none; returns a sentence about it that stays the same meanwhile."""
        if (now := self._clock()) >= self._next:
            self._next = now + _LOG_SECONDS
            with contextlib.suppress(OSError):
                self._on_event(
                    "shared_memory_full",
                    f"the shared memory {SHARED_MEMORY} is full ({SharedMemory.now().shown}), and what needs "
                    "more of it is refused: free some there, or enlarge it (`docker run --shm-size`, "
                    f"`mount -o remount,size=... {SHARED_MEMORY}`)",
                )
        return f"{model} finds no shared memory: {SHARED_MEMORY} is full"
