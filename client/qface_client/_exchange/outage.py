"""Whether a client's server can be reached: one line in the log as it is lost, and one as it is back."""

import threading
from collections.abc import Callable

from .._telemetry import LOG, described

# A server that comes and goes has no more lines than one pair in so many seconds.
QUIET_SECONDS = 10.0


class Outage:
    """Of one client, for all its threads. `server`: its address, for the lines; `clock` in seconds."""

    def __init__(self, server: str, *, clock: Callable[[], float]) -> None:
        self._server = server or "the server"
        self._clock = clock
        self._lock = threading.Lock()
        self._lost_at: float | None = None  # None: it is not lost, or without a line
        self._logged_at = float("-inf")

    def lost(self, failure: Exception) -> None:
        """A server that had answered could not be reached."""
        with self._lock:
            now = self._clock()
            if self._lost_at is not None or now < self._logged_at + QUIET_SECONDS:
                return
            self._lost_at = self._logged_at = now
        LOG.warning("%s is lost: %s", self._server, described(failure))

    def answered(self) -> None:
        """It has answered, so it is not lost."""
        if self._lost_at is None:  # as nearly always: no lock
            return
        with self._lock:
            lost_at, self._lost_at = self._lost_at, None
        if lost_at is not None:
            LOG.warning("%s answers again, after %.1f s", self._server, self._clock() - lost_at)
