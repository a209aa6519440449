"""How many requests a second a client may send."""

import time
from collections.abc import Callable

import grpc

from deploy.gateway.refusals import Refusal

# A client that was quiet may send this many seconds' worth at once.
_BURST_SECONDS = 1.0
# Clients are remembered up to this number; the one that was quiet for longest is forgotten first.
_MOST_CLIENTS = 10_000


class Rates:
    """A token bucket for each named client."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens and when; the longest quiet comes first

    def take(self, client: str, per_second: float) -> None:
        """Counts a request of `client`.

        Raises Refusal (RESOURCE_EXHAUSTED) beyond `per_second` requests a second, of which a second's worth
        (at least one) may come at once.
        """
        now = self._clock()
        most = max(1.0, per_second * _BURST_SECONDS)
        tokens, since = self._buckets.pop(client, (most, now))
        tokens = min(most, tokens + (now - since) * per_second)
        short = tokens < 1
        self._buckets[client] = (tokens if short else tokens - 1, now)
        if len(self._buckets) > _MOST_CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        if short:
            raise Refusal(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"The key {client!r} may send {per_second:g} requests a second and has sent more; "
                "send fewer, or have its rate raised.",
                reason="rate",
                retry_after=(1 - tokens) / per_second if per_second > 0 else None,
            )
