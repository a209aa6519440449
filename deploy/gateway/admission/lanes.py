"""Two lanes into Triton, each with its own queue: ordinary requests, and large ones.

A request that alone takes longer than a time in Triton is to be would hold up all others, or never find room
among them. So large ones have a lane of their own, a few at a time, and the others don't wait for them.
"""

import abc
import asyncio
import collections
import dataclasses
from collections.abc import Sequence

from deploy.gateway.admission.limit import FLOOR_ROWS, Limit
from deploy.gateway.work import Work

# With independent arrivals at 80 % of its capacity, a server has up to ten requests waiting (the 99th
# percentile of a queue with equal service times). Somewhat more may wait here, and half a time in Triton, so
# that sixteen clients in a loop are not refused on two cores.
_USUAL_WAITING = 16
# Requests that may always be with Triton, however large: while one is at work, the next one comes in.
_ALWAYS_AT_A_TIME = 2
# On a slow host ordinary requests may take longer than they should: large ones weigh this many times as much.
_LARGE = 4
_NEW_SHARE = 0.1  # of what is new in a mean


@dataclasses.dataclass(kw_only=True, slots=True)
class Slot:
    """Leave to send one request to Triton, until `Admission.leave`."""

    queued_seconds: float
    work: Work
    weight: float
    lane: "Lane"
    load: float  # of its lane when it went, itself included
    in_flight: int  # requests with Triton when it went, itself included
    phase: int  # of the limit
    busy: bool


@dataclasses.dataclass(kw_only=True, slots=True, eq=False)
class Waiter:
    """A request that waits for its slot."""

    work: Work
    weight: float
    entered: float
    lane: "Lane"
    line: "Line"
    future: asyncio.Future[Slot]


class Line:
    """Those of one priority that wait, the oldest first. Who gave up stays until its turn, uncounted."""

    def __init__(self) -> None:
        self._waiters: collections.deque[Waiter] = collections.deque()
        self.count = 0
        self.weight = 0.0

    def append(self, waiter: Waiter) -> None:
        """Counts it, and puts it last."""
        self._waiters.append(waiter)
        self.count += 1
        self.weight += waiter.weight

    def first(self) -> Waiter | None:
        """The oldest that still waits."""
        while self._waiters and self._waiters[0].future.done():
            self._waiters.popleft()
        return self._waiters[0] if self._waiters else None

    def drop(self, waiter: Waiter) -> None:
        """Stops counting it, before its future is done."""
        self.count -= 1
        self.weight = self.weight - waiter.weight if self.count else 0.0


class Lane(abc.ABC):
    """What of one sort waits and is with Triton: `load` is the weight of the latter."""

    def __init__(self) -> None:
        self.lines: Sequence[Line] = (Line(), Line())  # priority 1, all others
        self.load = 0.0
        self.rows = 0
        self.in_flight = 0

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self.lines[0].count + self.lines[1].count

    def line(self, work: Work) -> Line:
        """Where the work has to wait."""
        return self.lines[work.priority != 1]

    def first(self) -> Waiter | None:
        """Whose turn it is."""
        return self.lines[0].first() or self.lines[1].first()

    def ahead(self, work: Work) -> float:
        """The weight that waits before newly come work."""
        return self.lines[0].weight + (self.lines[1].weight if work.priority != 1 else 0.0)

    def enter(self, work: Work, weight: float) -> None:
        """Counts it as with Triton."""
        self.in_flight += 1
        self.load += weight
        self.rows += work.cost.rows

    def leave(self, slot: Slot) -> None:
        """Counts it no more."""
        self.in_flight -= 1
        self.load = self.load - slot.weight if self.in_flight else 0.0
        self.rows -= slot.work.cost.rows

    @abc.abstractmethod
    def has_room(self, work: Work, weight: float) -> bool:
        """Whether it can go to Triton now."""

    @abc.abstractmethod
    def wait(self, work: Work) -> tuple[float, float] | None:
        """Seconds that newly come work would wait, and the most that is usual at high load; None: unknown."""

    @abc.abstractmethod
    def seconds(self, weight: float) -> float:
        """The time in Triton of a request of this weight, as far as it is known."""

    @abc.abstractmethod
    def busy(self) -> bool:
        """Whether what came last shows what a busy Triton does."""

    @abc.abstractmethod
    def finished(self, slot: Slot, *, load: float, seconds: float, in_flight: int) -> None:
        """Learns from a request's time in Triton; `load` and `in_flight` are those meanwhile, with itself."""


class OrdinaryLane(Lane):
    """As much at a time as keeps Triton busy."""

    def __init__(self, limit: Limit) -> None:
        super().__init__()
        self._limit = limit
        self._mean = 0.0  # weight

    def enter(self, work: Work, weight: float) -> None:
        """Counts it as with Triton, and in the mean."""
        super().enter(work, weight)
        self._mean += _NEW_SHARE * (weight - self._mean) if self._mean else weight

    def takes(self, weight: float) -> bool:
        """Whether a request of this weight belongs here, and not among the large ones."""
        return weight <= max(self._limit.value, self._limit.longest, _LARGE * self._mean)

    def has_room(self, work: Work, weight: float) -> bool:
        """Within the limit, or within the floor that keeps batching alive."""
        return (
            self.in_flight < _ALWAYS_AT_A_TIME
            or self.rows + work.cost.rows <= FLOOR_ROWS
            or self.load + weight <= self._limit.value
        )

    def wait(self, work: Work) -> tuple[float, float] | None:
        """By the throughput that was measured."""
        rate = self._limit.rate
        if rate is None:
            return None
        usual = self._limit.seconds / 2 + _USUAL_WAITING * self._limit.request_weight / rate
        return self.ahead(work) / rate, usual

    def seconds(self, weight: float) -> float:
        """The mean of all: what stands before it counts for more than its own weight."""
        return self._limit.seconds

    def busy(self) -> bool:
        """Whether the limit is nearly reached."""
        return self._limit.busy(self.load, rows=self.rows)

    def finished(self, slot: Slot, *, load: float, seconds: float, in_flight: int) -> None:
        """Throughput by what was busy."""
        if slot.busy:
            self._limit.finished(
                slot.weight,
                rows=slot.work.cost.rows,
                load=load,
                seconds=seconds,
                phase=slot.phase,
                in_flight=in_flight,
            )


class LargeLane(Lane):
    """A few at a time, whatever else is with Triton."""

    def __init__(self) -> None:
        super().__init__()
        self._pace = 1.0  # seconds in Triton for one of weight

    def has_room(self, work: Work, weight: float) -> bool:
        """Within the number."""
        return self.in_flight < _ALWAYS_AT_A_TIME

    def wait(self, work: Work) -> tuple[float, float] | None:
        """By the weight of those before it; of those with Triton half is done on average."""
        return (self.ahead(work) + self.load / 2) * self._pace / _ALWAYS_AT_A_TIME, float("inf")

    def seconds(self, weight: float) -> float:
        """By its own weight."""
        return weight * self._pace

    def busy(self) -> bool:
        """Never: what large requests take shows nothing of the others."""
        return False

    def finished(self, slot: Slot, *, load: float, seconds: float, in_flight: int) -> None:
        """The pace."""
        self._pace += _NEW_SHARE * (seconds / slot.weight - self._pace)
