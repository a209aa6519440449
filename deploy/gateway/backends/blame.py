"""Blame: requests that were on a Triton when it died, and those that were alone on a second one.

All that is in flight when a Triton dies is suspect, the innocent too. A suspect is sent again, and sent
alone (`Dispatcher`): a Triton that dies then died of it. An answer clears; what is never answered, because
its client has left, stays suspect, so that it is alone when it comes again.
"""

import time
from collections.abc import Callable

_MOST = 4096  # digests


class Blame:
    """Remembers requests by a digest of their content.

    seconds   for which a request stays suspect, or is refused
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._suspects: dict[str, float] = {}  # until when; the oldest first
        self._blamed: dict[str, float] = {}
        self._digests: frozenset[str] = frozenset()

    def suspect(self, digest: str) -> None:
        """A Triton died while it had this request, among others."""
        self._add(digest, self._suspects)

    def clear(self, digest: str) -> None:
        """The request was answered: no Triton died of it."""
        if self._suspects.pop(digest, None) is not None:
            self._digests = frozenset((*self._suspects, *self._blamed))

    def accuse(self, digest: str) -> None:
        """A Triton died while it had this suspect alone: requests of this content are refused from now on."""
        self._suspects.pop(digest, None)
        self._add(digest, self._blamed)

    def is_blamed(self, digest: str) -> bool:
        """Whether requests of this content are refused."""
        return digest in self.digests and digest in self._blamed

    @property
    def digests(self) -> frozenset[str]:
        """Those that are suspect or refused now."""
        now = self._clock()
        for known in (self._suspects, self._blamed):
            while known and known[oldest := next(iter(known))] <= now:
                del known[oldest]
                self._digests = frozenset((*self._suspects, *self._blamed))
        return self._digests

    def _add(self, digest: str, known: dict[str, float]) -> None:
        known.pop(digest, None)
        known[digest] = self._clock() + self._seconds
        if len(known) > _MOST:
            del known[next(iter(known))]
        self._digests = frozenset((*self._suspects, *self._blamed))
