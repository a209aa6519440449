"""Settings of a process that serves, made before its event loop runs, and whether they suffice."""

import contextlib
import ctypes
import errno
import gc
import os
import resource
import time
from collections.abc import Callable

from deploy.gateway.descriptors import reserved_descriptors

_LOG_SECONDS = 60.0  # between two sentences
# For glibc's mallopt, what it comes to by itself once a request of 32 MiB was freed. Until then the copies of
# each photo are given back to the system and faulted in again. `MemoryTrim` gives back what is too much.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_HEAP = {_M_TRIM_THRESHOLD: 64 * 1024 * 1024, _M_MMAP_THRESHOLD: 32 * 1024 * 1024}


def prepare_process() -> None:
    """As many connections as the host allows, collections of garbage that leave out what was imported, and a
    heap that is kept from request to request."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.freeze()
    with contextlib.suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _HEAP.items():
            mallopt(parameter, value)


class DescriptorWatch:
    """Finds descriptors used up, in microseconds; `log` gets a sentence, at most one a minute."""

    def __init__(self, log: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._log_at = 0.0

    def look(self) -> None:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            lowest = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)  # of the free ones
            os.close(lowest)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                return
            lowest = limit
        if lowest < limit - reserved_descriptors(limit) or (now := self._clock()) < self._log_at:
            return
        self._log_at = now + _LOG_SECONDS
        self._log(
            f"of {limit} file descriptors those for connections are in use, and new ones are refused or "
            "wait: end clients that hold idle ones, or raise the limit (`ulimit -n`, LimitNOFILE= in a unit)"
        )
