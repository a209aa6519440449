"""Where the server's time went, as it states it with an answer: a Server-Timing header in gRPC's metadata."""

import math
from collections.abc import Iterable

METADATA = "server-timing"
_MOST = 32  # of a server that states more, the first ones


def server_timings(trailing: Iterable[tuple[str, str | bytes]]) -> dict[str, float]:
    """Milliseconds by name; what is no such header's is left out, as an answer is good without it."""
    found: dict[str, float] = {}
    for key, value in trailing:
        if key != METADATA or not isinstance(value, str):
            continue
        for entry in value.split(","):
            name, *parameters = (word.strip() for word in entry.split(";"))
            milliseconds = next((_number(word[4:]) for word in parameters if word[:4] == "dur="), None)
            if name and milliseconds is not None and len(found) < _MOST:
                found[name] = milliseconds
    return found


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
