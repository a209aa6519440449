"""How much work belongs into Triton at a time: what keeps it busy, and no more.

With W in flight and T the time that it takes there, throughput is W / T (Little's law). Below the knee more
in flight means more throughput: batches fill, instances have work. Beyond it T grows in proportion with W,
and more in flight is only a longer queue, in a place where nothing can be refused any more. The knee is
found by alternating between a little more and a little less and comparing the throughput of both
(extremum seeking).
"""

import math

# Requests' rows that may always be with Triton, so that there is something to put into a batch.
FLOOR_ROWS = 4
# The limit alternates between this much more and as much less.
_SWING = 1.15
# Where one per cent more in flight brings this many per cent of throughput, the knee is reached.
_KNEE = 0.08
# The largest step of the limit's logarithm between two comparisons, the same up and down: what one of them
# gets wrong by chance, the next ones take back.
_STEP = 0.15
# At the start, as long as throughput grows well with what is in flight: at once twice as much.
_FAR_BELOW, _DOUBLE = 0.4, 0.7
# Requests in a half of a comparison: this many, and this many times those in flight.
_LEAST, _TURNS = 24, 4


class _Sums:
    """Weighted sums over finished requests; throughput by Little's law."""

    def __init__(self) -> None:
        self.count = self.rows = self.weight = self.weighted_load = self.weighted_seconds = 0.0

    def add(self, weight: float, *, rows: int, load: float, seconds: float) -> None:
        self.count += 1
        self.rows += rows
        self.weight += weight
        self.weighted_load += weight * load
        self.weighted_seconds += weight * seconds

    def fade(self, share: float) -> None:
        self.count *= share
        self.rows *= share
        self.weight *= share
        self.weighted_load *= share
        self.weighted_seconds *= share

    @property
    def load(self) -> float:
        return self.weighted_load / self.weight

    @property
    def seconds(self) -> float:
        return self.weighted_seconds / self.weight

    @property
    def rate(self) -> float:
        return self.weighted_load / self.weighted_seconds


class Limit:
    """The weight that may be in flight, learned from finished requests.

    `seconds` (then `longest`) bounds the time in Triton that the limit leads to.
    """

    def __init__(self, *, seconds: float) -> None:
        self.longest = seconds
        self._middle = 0.0  # the limit without its swing; 0 until the first requests have shown their weight
        self._starts = True
        self._halves = (_Sums(), _Sums())
        self._recent = _Sums()
        self.phase = 0  # even: more in flight, odd: less

    @property
    def value(self) -> float:
        """The weight that may be in flight now."""
        found = self._middle * (_SWING if self.phase % 2 == 0 else 1 / _SWING)
        return min(found, self._highest) if self._recent.count else found

    @property
    def rate(self) -> float | None:
        """Weight per second that a busy Triton gets done; None until something was measured."""
        return self._recent.rate if self._recent.weighted_seconds else None

    @property
    def seconds(self) -> float:
        """The time of a request in a busy Triton; 0 until something was measured."""
        return self._recent.seconds if self._recent.weight else 0.0

    @property
    def request_weight(self) -> float:
        """The mean weight of a request."""
        return self._recent.weight / self._recent.count if self._recent.count else 0.0

    def busy(self, load: float, *, rows: int) -> bool:
        """Whether a request at this load in flight, itself included, shows what a busy Triton does."""
        return rows >= FLOOR_ROWS and load >= 0.8 * self.value

    def finished(
        self, weight: float, *, rows: int, load: float, seconds: float, phase: int, in_flight: int
    ) -> None:
        """A request that was in a busy Triton: its weight, the load in flight meanwhile, its seconds there.

        `phase` is the limit's when it went there.
        """
        self._recent.fade(1 - 1 / max(_LEAST, 2 * in_flight))
        self._recent.add(weight, rows=rows, load=load, seconds=seconds)
        if not self._middle:
            self._middle = FLOOR_ROWS * weight / rows
        if phase != self.phase:
            return
        half = self._halves[phase % 2]
        half.add(weight, rows=rows, load=load, seconds=seconds)
        if half.count >= max(_LEAST, _TURNS * in_flight):
            if phase % 2:
                self._compare(*self._halves)
                self._halves = (_Sums(), _Sums())
            self.phase += 1

    def _compare(self, more: _Sums, less: _Sums) -> None:
        swing = math.log(more.load / less.load)
        if swing > 0.1:
            gain = math.log(more.rate / less.rate) / swing
            self._starts = self._starts and gain > _FAR_BELOW
            step = _DOUBLE if self._starts else min(max(gain - _KNEE, -_STEP), _STEP)
        else:  # the two differ by less than a request
            step = _STEP
        self._middle = max(min(self._middle * math.exp(step), self._highest / _SWING), self._lowest)

    @property
    def _lowest(self) -> float:
        return FLOOR_ROWS * self._recent.weight / self._recent.rows

    @property
    def _highest(self) -> float:
        """What leads to the longest time in Triton, but never less than the lowest limit."""
        return max(self.longest * self._recent.rate, self._lowest)
