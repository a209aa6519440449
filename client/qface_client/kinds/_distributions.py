"""How the answers about many faces are distributed, and how unsure one of them is.

Each kind makes these of its own answers; a report draws them without knowing the kind.
"""

import abc
import dataclasses
import math
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..measuring.percentiles import percentile

MOST_BINS = 24  # of a histogram
_STEPS = (1.0, 2.0, 5.0, 10.0)  # of a bin's width, times a power of ten


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bar:
    """A label, its share in [0, 1], and the number of faces where there is one."""

    name: str
    share: float
    count: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bars:
    """A bar a label. `about`: a sentence that says what a share is of."""

    about: str
    bars: tuple[Bar, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Histogram:
    """How many faces have a number between each two neighbours of `edges`; one more edge than counts."""

    about: str
    unit: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]


Chart = Bars | Histogram


@dataclasses.dataclass(frozen=True, kw_only=True)
class Doubt:
    """How unsure an answer is, from 0 to 1 (it may as well be another), and why, in words."""

    score: float
    reason: str


class Tally(abc.ABC):
    """Counts the answers to one task, face by face, in little memory."""

    @abc.abstractmethod
    def add(self, answer: Any) -> None:
        """One more face's answer, of the kind that made this."""

    @abc.abstractmethod
    def charts(self) -> Sequence[Chart]:
        """What was counted; () where nothing was."""


class Numbers:
    """Numbers of one unit that become a histogram."""

    def __init__(self, *, name: str, unit: str) -> None:
        self._name = name
        self._unit = unit
        self._values = array("f")

    def add(self, value: float) -> None:
        """One more; one that is not finite is not counted."""
        if math.isfinite(value):
            self._values.append(value)

    def charts(self) -> Sequence[Histogram]:
        """The histogram, with edges at round numbers; () of no number."""
        if not self._values:
            return ()
        values = np.frombuffer(self._values, np.float32)
        low, high = float(values.min()), float(values.max())
        edges = _round_edges(low, high)
        counts, _ = np.histogram(values, edges)
        middle = percentile(values, 0.5)
        about = f"{self._name}: median {_short(middle)}, from {_short(low)} to {_short(high)} {self._unit}"
        return (
            Histogram(
                about=about.strip(),
                unit=self._unit,
                edges=tuple(edges),
                counts=tuple(int(count) for count in counts),
            ),
        )


def _short(number: float) -> str:
    """Three digits of a number, or all of a whole one."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _round_edges(low: float, high: float) -> list[float]:
    """Edges at multiples of 1, 2 or 5 times a power of ten, with both numbers between them."""
    least = max((high - low) / (MOST_BINS - 2), abs(high) * 1e-6, 1e-6)
    power = 10.0 ** math.floor(math.log10(least))
    step = next((step * power for step in _STEPS if step * power >= least), _STEPS[-1] * power)
    first, last = math.floor(low / step), math.floor(high / step) + 1
    return [at * step for at in range(first, last + 1)]
