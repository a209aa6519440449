"""Admission: the queue in front of Triton, short enough that what is accepted is answered in time."""

import asyncio
import collections
import dataclasses
import time
from collections.abc import Callable

import grpc

from deploy.gateway.admission.limit import FLOOR_ROWS, Limit
from deploy.gateway.admission.weights import Weights
from deploy.gateway.options import Limits
from deploy.gateway.refusals import Refusal
from deploy.gateway.work import Work

# With independent arrivals at 80 % of its capacity, a server has up to this many requests waiting (the
# 99th percentile of a queue with equal service times). As many may wait here, and half a time in Triton.
_USUAL_WAITING = 10
# Who would wait for more than this share of `queue_seconds` might be refused for it then: better at once.
_SURE_SHARE = 0.8
# Who sets a longer `queue_seconds` than this wants as many times more to wait.
_USUAL_QUEUE_SECONDS = Limits().queue_seconds
# However large they are: while one is at work, the next one comes in.
_ALWAYS_IN_FLIGHT = 2
# Sooner, another try makes no sense.
_SOONEST_RETRY = 0.05


@dataclasses.dataclass(kw_only=True, slots=True)
class Slot:
    """Leave to send one request to Triton, until `Admission.leave`."""

    queued_seconds: float
    work: Work
    weight: float
    load: float  # in flight when it went, itself included
    in_flight: int
    phase: int
    busy: bool


@dataclasses.dataclass(kw_only=True, slots=True, eq=False)
class _Waiter:
    work: Work
    weight: float
    entered: float
    future: asyncio.Future[Slot]


class _Line:
    """Those of one priority that wait, the oldest first. Who gave up stays until its turn, uncounted."""

    def __init__(self) -> None:
        self._waiters: collections.deque[_Waiter] = collections.deque()
        self.count = 0
        self.weight = 0.0

    def append(self, waiter: _Waiter) -> None:
        self._waiters.append(waiter)
        self.count += 1
        self.weight += waiter.weight

    def first(self) -> _Waiter | None:
        while self._waiters and self._waiters[0].future.done():
            self._waiters.popleft()
        return self._waiters[0] if self._waiters else None

    def drop(self, waiter: _Waiter) -> None:
        """Stops counting it, before its future is done."""
        self.count -= 1
        self.weight = self.weight - waiter.weight if self.count else 0.0


class Admission:
    """Decides what goes to Triton now, what waits, and what is refused. All methods run in one event loop.

    As much is in flight as keeps Triton busy (`Limit`), counted in weights (`Weights`). What can't go at once
    waits, first come first served, priority 1 before the others. What would wait longer than is usual at high
    load, or than its client waits, is refused at once; so is what `Limits` bounds.
    """

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._weights = Weights()
        self._limit = Limit(seconds=limits.triton_seconds)
        self._patience = max(1.0, limits.queue_seconds / _USUAL_QUEUE_SECONDS)
        self._lines = (_Line(), _Line())  # priority 1, all others
        self._load = 0.0
        self._rows = 0
        self._in_flight = 0
        self._bytes = 0
        self._held: Refusal | None = None
        self._closed: Refusal | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle: list[asyncio.Future[None]] = []

    async def enter(self, work: Work) -> Slot:
        """A slot, at once or after a wait of at most `queue_seconds`. Cancelling gives up the place.

        Raises Refusal: RESOURCE_EXHAUSTED where the wait would be too long or was, or memory is short;
        else what `hold` or `close` were given.
        """
        if self._closed is not None:
            raise _again(self._closed)
        self._check_memory(work)
        weight = self._weights.of(work)
        if self._held is None and not self.waiting and self._has_room(work, weight):
            self._bytes += work.cost.bytes
            return self._take(work, weight, queued_seconds=0.0)
        line = self._lines[work.priority != 1]
        if self._held is None:
            self._check_wait(work, line)
        waiter = _Waiter(
            work=work,
            weight=weight,
            entered=self._clock(),
            future=asyncio.get_running_loop().create_future(),
        )
        line.append(waiter)
        self._bytes += work.cost.bytes
        self._start_timer()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.cancelled():
                line.drop(waiter)
                self._release(work)
                self._pump()
            elif waiter.future.exception() is None:  # cancelled in the moment of its admission
                self.leave(waiter.future.result(), triton_seconds=None)
            raise

    def leave(self, slot: Slot, *, triton_seconds: float | None) -> None:
        """Gives a slot back. `triton_seconds`, its time in Triton, is learned from; None: nothing is."""
        load = (slot.load + self._load) / 2
        in_flight = self._in_flight
        self._in_flight -= 1
        self._load = self._load - slot.weight if self._in_flight else 0.0
        self._rows -= slot.work.cost.rows
        if triton_seconds is not None and triton_seconds > 0:
            if max(slot.in_flight, in_flight) <= FLOOR_ROWS:
                self._weights.learn(slot.work, triton_seconds)
            elif self._limit.seconds and slot.work not in self._weights:
                lightly = triton_seconds * self._limit.request_weight / self._limit.seconds
                self._weights.learn(slot.work, lightly)
            if slot.busy:
                self._limit.finished(
                    slot.weight,
                    rows=slot.work.cost.rows,
                    load=load,
                    seconds=triton_seconds,
                    phase=slot.phase,
                    in_flight=in_flight,
                )
        self._release(slot.work)
        self._pump()

    def hold(self, refusal: Refusal) -> None:
        """Nothing goes to Triton until `release`; what waits for too long meanwhile gets `refusal`."""
        self._held = refusal

    def release(self) -> None:
        """Ends `hold`."""
        self._held = None
        self._pump()

    def close(self, refusal: Refusal) -> None:
        """From now on `enter` raises `refusal`. What waits goes on."""
        self._closed = refusal

    async def drained(self) -> None:
        """Returns when nothing waits or is in flight."""
        while self.waiting or self._in_flight:
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._lines[0].count + self._lines[1].count

    @property
    def in_flight(self) -> int:
        """Requests with Triton."""
        return self._in_flight

    @property
    def limit(self) -> float:
        """Requests of mean weight that may be with Triton."""
        mean = self._limit.request_weight
        return max(self._limit.value / mean, FLOOR_ROWS) if mean else float(FLOOR_ROWS)

    @property
    def oldest_wait(self) -> float:
        """Seconds that the oldest request has waited."""
        heads = [head.entered for line in self._lines if (head := line.first()) is not None]
        return max(0.0, self._clock() - min(heads)) if heads else 0.0

    @property
    def waiting_bytes(self) -> int:
        """Bytes of all requests that wait or are with Triton."""
        return self._bytes

    def _check_memory(self, work: Work) -> None:
        if self._bytes + work.cost.bytes > self._limits.waiting_bytes and self._bytes:
            raise Refusal(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"The server is busy: its requests take {self._bytes:,} of {self._limits.waiting_bytes:,} "
                f"bytes, and this one {work.cost.bytes:,} more; send it again later.",
                reason="memory",
                retry_after=max(_SOONEST_RETRY, self._limit.seconds),
            )

    def _check_wait(self, work: Work, line: _Line) -> None:
        """Raises Refusal where the wait is known to become too long."""
        rate = self._limit.rate
        if rate is None:
            return
        ahead = self._lines[0].weight + (line.weight if line is self._lines[1] else 0.0)
        wait = ahead / rate
        answered = wait + self._limit.seconds
        usual = self._limit.seconds / 2 + _USUAL_WAITING * self._limit.request_weight / rate
        if wait > min(usual * self._patience, _SURE_SHARE * self._limits.queue_seconds):
            raise _overload(
                f"The server is busy: {wait:.2f} s of work wait before this request; send it again later.",
                reason="overload",
                retry_after=wait,
            )
        if work.seconds_left is not None and answered > work.seconds_left:
            raise _overload(
                f"The server is busy: an answer takes {answered:.2f} s, and the deadline is in "
                f"{max(0.0, work.seconds_left):.2f} s; send it again later or with a later deadline.",
                reason="deadline",
                retry_after=wait,
            )

    def _has_room(self, work: Work, weight: float) -> bool:
        if self._in_flight < _ALWAYS_IN_FLIGHT:
            return True
        if self._in_flight >= self._limits.in_flight:
            return False
        return self._rows + work.cost.rows <= FLOOR_ROWS or self._load + weight <= self._limit.value

    def _take(self, work: Work, weight: float, *, queued_seconds: float) -> Slot:
        self._in_flight += 1
        self._load += weight
        self._rows += work.cost.rows
        return Slot(
            queued_seconds=queued_seconds,
            work=work,
            weight=weight,
            load=self._load,
            in_flight=self._in_flight,
            phase=self._limit.phase,
            busy=queued_seconds > 0 or self._limit.busy(self._load, rows=self._rows),
        )

    def _pump(self) -> None:
        """Lets those in whose turn it is."""
        now = self._clock()
        while self._held is None:
            line = self._lines[0] if self._lines[0].count else self._lines[1]
            waiter = line.first()
            if waiter is None or not self._has_room(waiter.work, waiter.weight):
                break
            line.drop(waiter)
            waiter.future.set_result(
                self._take(waiter.work, waiter.weight, queued_seconds=max(now - waiter.entered, 1e-9))
            )
        if not self.waiting:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if not self._in_flight:
                for idle in self._idle:
                    if not idle.done():
                        idle.set_result(None)
                self._idle.clear()

    def _start_timer(self) -> None:
        """One timer for all: it goes off when the oldest has waited for too long."""
        if self._timer is None and self.waiting:
            left = max(0.0, self._limits.queue_seconds - self.oldest_wait)
            self._timer = asyncio.get_running_loop().call_later(left, self._refuse_old)

    def _refuse_old(self) -> None:
        self._timer = None
        now = self._clock()
        for line in self._lines:
            # A timer may go off a little early.
            while (waiter := line.first()) and now - waiter.entered >= self._limits.queue_seconds - 1e-3:
                line.drop(waiter)
                self._release(waiter.work)
                waiter.future.set_exception(
                    _again(self._held)
                    if self._held is not None
                    else _overload(
                        f"The server is busy: this request has waited for {now - waiter.entered:.2f} s; "
                        "send it again later.",
                        reason="queue_timeout",
                        retry_after=self._limits.queue_seconds,
                    )
                )
        self._pump()
        self._start_timer()

    def _release(self, work: Work) -> None:
        self._bytes -= work.cost.bytes


def _overload(sentence: str, *, reason: str, retry_after: float) -> Refusal:
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        sentence,
        reason=reason,
        retry_after=max(_SOONEST_RETRY, retry_after),
    )


def _again(refusal: Refusal) -> Refusal:
    """A copy, since an exception that is raised over and over collects tracebacks."""
    return Refusal(refusal.code, refusal.sentence, reason=refusal.reason, retry_after=refusal.retry_after)
