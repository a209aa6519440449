"""When a call gives up."""

import dataclasses
import time
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timeout:
    """Seconds until a call gives up.

    `request` bounds a whole call: retries, re-reading the contract and all chunks included. `connect`
    bounds the time until a server answers for the first time, so that a wrong address shows early.
    """

    request: float = 60.0
    connect: float = 10.0

    def __post_init__(self) -> None:
        for name, seconds in (("request", self.request), ("connect", self.connect)):
            check_seconds(seconds, name=name)


def as_timeout(timeout: Timeout | float | None) -> Timeout:
    """A Timeout from what a caller may give."""
    if isinstance(timeout, Timeout):
        return timeout
    return Timeout() if timeout is None else Timeout(request=float(timeout))


def check_seconds(seconds: Any, *, name: str) -> float:
    """A number of seconds that ends; ValueError for any other."""
    try:
        number = float(seconds)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"{name} is a finite number of seconds above 0, not {seconds}")
    return number


@dataclasses.dataclass(frozen=True, slots=True)
class Deadline:
    """Of one call: `seconds` after it began, `at` as time.monotonic()."""

    seconds: float
    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Of a call that begins now."""
        return cls(seconds, time.monotonic() + seconds)

    @property
    def began(self) -> float:
        """When the call did, as time.monotonic()."""
        return self.at - self.seconds

    def left(self) -> float:
        """Seconds until then; 0 or less: it has passed."""
        return self.at - time.monotonic()
