"""Requests that are left in memory which a gateway on the same machine copies, in place of gRPC's message.

It saves the way through gRPC and the network's stack, which costs large requests more than all else that a
client does. The memory is anonymous: no other user can open it, and it goes with this process. A gateway
that does not take it refuses the request, which then goes over gRPC.
"""

import contextlib
import mmap
import os
import secrets
import threading
from collections.abc import Iterator, Sequence

from .._exchange.steps import Metadata
from .._telemetry import LOG, described
from .address import is_this_machine

METADATA = "qface-shared-memory"
_LEAST = 1024 * 1024  # bytes of a request that is worth it
_KEPT = 8  # regions for later requests: to make one takes as long as to fill it
_ROUND = 4 * 1024 * 1024  # bytes, so that requests of like size find the same region good

Parts = Sequence[bytes | memoryview]


class SharedMemory:
    """The regions of one transport, each for one request at a time. Thread-safe."""

    def __init__(self, url: str) -> None:
        self._free: list[_Region] = []
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._stopped = False
        if not hasattr(os, "memfd_create"):
            self.stop("this system has no memfd_create")
        elif not is_this_machine(url):
            self.stop(f"{url} is not this machine")

    def takes(self, parts: Parts) -> bool:
        """Whether a request of these parts goes this way."""
        return not self._stopped and _size(parts) >= _LEAST

    @contextlib.contextmanager
    def holding(self, parts: Parts) -> Iterator[Metadata]:
        """A region that has the request, as metadata names it. OSError where there is no memory for one."""
        size = _size(parts)
        region = self._take(size)
        try:
            region.write(parts)
            yield ((METADATA, region.name(size)),)
        except BaseException:
            region.close()  # never written again: the gateway may still be about to read it
            raise
        self._give_back(region)

    def stop(self, reason: str | Exception) -> None:
        """Requests go over gRPC from now on; says so once."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
        self.close()
        why = described(reason) if isinstance(reason, Exception) else reason
        LOG.warning("shared memory is not used, requests go over gRPC: %s", why)

    def close(self) -> None:
        """Frees what is kept for later."""
        with self._lock:
            kept, self._free = self._free, []
        for region in kept:
            region.close()

    def _take(self, size: int) -> "_Region":
        with self._lock:
            if self._process != os.getpid():  # a fork's: its parent writes into the same memory
                self._free, self._process = [], os.getpid()
            region = self._free.pop() if self._free else None
        if region is not None and region.size >= size:
            return region
        if region is not None:
            region.close()
        return _Region(-(-size // _ROUND) * _ROUND)

    def _give_back(self, region: "_Region") -> None:
        with self._lock:
            if not self._stopped and len(self._free) < _KEPT and self._process == os.getpid():
                self._free.append(region)
                return
        region.close()


class _Region:
    """An anonymous file in memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._token = secrets.token_hex(16)  # without it the memory can't be named
        self._process = os.getpid()
        self._descriptor = os.memfd_create(f"qface-{self._token}", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self._descriptor, size)
            self._memory = mmap.mmap(self._descriptor, size)
        except BaseException:
            os.close(self._descriptor)
            raise

    def name(self, size: int) -> str:
        """Of its first bytes, as the gateway takes it."""
        return f"{self._process}.{self._descriptor}.{self._token}.{size}"

    def write(self, parts: Parts) -> None:
        begin = 0
        for part in parts:
            end = begin + len(part)
            self._memory[begin:end] = part
            begin = end

    def close(self) -> None:
        self._memory.close()
        os.close(self._descriptor)


def _size(parts: Parts) -> int:
    return sum(map(len, parts))
