"""Memory of a front: requests that are never finished do not fill it, and large ones leave none behind."""

import asyncio
import contextlib
import ctypes
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

_LOOK_SECONDS = 0.1  # between two looks: as much as then arrives may come on top
_LOG_SECONDS = 60.0  # between two sentences
_LEFT_BYTES = 32 * 1024 * 1024  # that a process may have more than at its start, before it is trimmed
_STATM = Path("/proc/self/statm")


class Reader(Protocol):
    """Reads requests."""

    @property
    def waiting(self) -> int:
        """Calls whose requests have not arrived yet."""

    def end_older_half(self) -> int:
        """Ends the older half of them, at least one; returns how many."""


class MemoryWatch:
    """Ends calls that still send their requests, the oldest ones, while the process takes too much memory.

    gRPC keeps the arrived part of a request and does not tell its size, so the process's own is looked at,
    and only while requests arrive. For one event loop.

    bound     bytes that may be resident
    resident  bytes that are
    trim      gives back to the system what is free: else memory stays resident long after a call has ended
    log       gets a sentence where calls were ended, at most one a minute
    """

    def __init__(
        self,
        *,
        bound: int,
        log: Callable[[str], None],
        resident: Callable[[], int] | None = None,
        trim: Callable[[], None] | None = None,
    ) -> None:
        self._bound = bound
        self._log = log
        self._resident = resident or resident_bytes
        self._trim = trim or give_back
        self._readers: Sequence[Reader] = ()
        self._next_look: asyncio.TimerHandle | None = None
        self._log_at = 0.0

    def add(self, reader: Reader) -> None:
        """Its calls may be ended."""
        self._readers = (*self._readers, reader)

    def reading(self) -> None:
        """A call waits for its request."""
        if self._next_look is None:
            self._next_look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._next_look = None
        if not any(reader.waiting for reader in self._readers):
            return
        self.reading()
        if self._resident() <= self._bound:
            return
        self._trim()
        if (resident := self._resident()) <= self._bound:
            return
        ended = sum(reader.end_older_half() for reader in self._readers)
        if (now := time.monotonic()) >= self._log_at:
            self._log_at = now + _LOG_SECONDS
            self._log(
                f"this process takes {resident:,} bytes of memory, over {self._bound:,}: it has ended "
                f"{ended} calls that were still sending their requests"
            )


class MemoryTrim:
    """Gives back what large requests have left: else the process keeps twice the largest one for good.

    `look` is to be called about every second. It takes 0.3 ms where there is nothing to give back.
    """

    def __init__(self) -> None:
        self._at_start = resident_bytes()

    def look(self) -> None:
        if resident_bytes() > self._at_start + _LEFT_BYTES:
            give_back()


def resident_bytes() -> int:
    """Of this process; 0 where the system does not tell."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def give_back() -> None:
    """Gives what was freed back to the system, where the C library knows how."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
