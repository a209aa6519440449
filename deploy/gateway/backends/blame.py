"""Blame: which requests killed two Tritons, and are not sent to a third."""

import time
from collections.abc import Callable

_MOST = 4096  # digests


class Blame:
    """Remembers, by a digest of its content, each request that was on two Tritons when they died.

    seconds   for which such a request is refused

    The innocent are in flight too when a Triton dies. So only what was sent a second time, and sent alone, is
    accused (`Dispatcher`): a digest alone proves nothing, as many may send the same picture at once.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until: dict[str, float] = {}  # the oldest first
        self._digests: frozenset[str] = frozenset()

    def accuse(self, digest: str) -> None:
        """Refuses requests of this content from now on."""
        self._until.pop(digest, None)
        self._until[digest] = self._clock() + self._seconds
        if len(self._until) > _MOST:
            del self._until[next(iter(self._until))]
        self._digests = frozenset(self._until)

    @property
    def digests(self) -> frozenset[str]:
        """Those that are refused now."""
        if self._until and self._until[next(iter(self._until))] <= self._clock():
            now = self._clock()
            self._until = {digest: until for digest, until in self._until.items() if until > now}
            self._digests = frozenset(self._until)
        return self._digests
