"""How requests come: each after the answer to the one before, or on their own."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

BURST = 8.0  # requests of a burst, on average


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClosedLoop:
    """So many clients, each of which sends again once it was answered."""

    clients: int

    def __post_init__(self) -> None:
        if self.clients < 1:
            raise ValueError(f"{self.clients} clients send nothing: give 1 or more")

    @property
    def name(self) -> str:
        return "1 client" if self.clients == 1 else f"{self.clients} clients"


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenLoop:
    """Requests that come on their own, whatever becomes of those before: `rate` a second on average.

    arrivals    a key of ARRIVALS
    """

    rate: float
    arrivals: str = "poisson"

    def __post_init__(self) -> None:
        if not 0 < self.rate < float("inf"):
            raise ValueError(f"a rate of {self.rate} can't be sent: give requests a second, above 0")
        if self.arrivals not in ARRIVALS:
            raise ValueError(f"there are no {self.arrivals!r} arrivals: choose from {', '.join(ARRIVALS)}")

    @property
    def name(self) -> str:
        return f"{self.rate:g}/s, {self.arrivals}"

    def dues(self, *, seconds: float, share: float, random: np.random.Generator) -> NDArray[np.float64]:
        """When the requests of one of several senders are due [n], in seconds from the start, ascending.

        share: of the rate that this sender has; the senders together have the arrivals that the name states.
        """
        return ARRIVALS[self.arrivals](self.rate * share, seconds, random)


Load = ClosedLoop | OpenLoop


def _poisson(rate: float, seconds: float, random: np.random.Generator) -> NDArray[np.float64]:
    count = random.poisson(rate * seconds)
    return np.sort(random.uniform(0.0, seconds, size=count))


def _bursty(rate: float, seconds: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Bursts come at random, each of a geometric number of requests at the same instant."""
    begins = _poisson(rate / BURST, seconds, random)
    return np.repeat(begins, random.geometric(1 / BURST, size=len(begins)))


def _even(rate: float, seconds: float, random: np.random.Generator) -> NDArray[np.float64]:
    """At equal distances, from a random phase on, so that several senders do not send at once."""
    return np.arange(random.uniform(0.0, 1.0), rate * seconds) / rate


ARRIVALS: Mapping[str, Callable[[float, float, np.random.Generator], NDArray[np.float64]]] = {
    "poisson": _poisson,
    "bursty": _bursty,
    "even": _even,
}
