"""Admission: the queue in front of Triton, short enough that what is accepted is answered in time."""

import asyncio
import time
from collections.abc import Callable

import grpc

from deploy.gateway.admission.lanes import Lane, LargeLane, OrdinaryLane, Slot, Waiter
from deploy.gateway.admission.limit import FLOOR_ROWS, Limit
from deploy.gateway.admission.weights import Weights
from deploy.gateway.options import Limits
from deploy.gateway.refusals import Refusal, again
from deploy.gateway.work import Work

__all__ = ["Admission", "Slot"]

# Who would wait for more than this share of `queue_seconds` might be refused for it then: better at once.
_SURE_SHARE = 0.8
# Who sets a longer `queue_seconds` than this lets as many times more than usual wait.
_USUAL_QUEUE_SECONDS = Limits().queue_seconds
# Sooner, another try makes no sense.
_SOONEST_RETRY = 0.05


class Admission:
    """Decides what goes to Triton now, what waits, and what is refused. All methods run in one event loop.

    As much is in flight as keeps Triton busy (`Limit`), counted in weights (`Weights`); large requests have a
    lane of their own. What can't go at once waits, first come first served, priority 1 before the others.
    What would wait longer than is usual at high load, or than its client waits, is refused at once; so is
    what `Limits` bounds.
    """

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._weights = Weights()
        self._limit = Limit(seconds=limits.triton_seconds)
        self._patience = max(1.0, limits.queue_seconds / _USUAL_QUEUE_SECONDS)
        self._ordinary = OrdinaryLane(self._limit)
        self._large = LargeLane()
        self._lanes: tuple[Lane, ...] = (self._ordinary, self._large)
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
            raise again(self._closed)
        self._check_memory(work)
        weight = self._weights.of(work)
        lane: Lane = self._ordinary if self._ordinary.takes(weight) else self._large
        if self._held is None and not lane.waiting and self._has_room(lane, work, weight):
            self._bytes += work.cost.bytes
            return self._take(lane, work, weight, queued_seconds=0.0)
        if self._held is None:
            self._check_wait(lane, work, weight)
        waiter = Waiter(
            work=work,
            weight=weight,
            entered=self._clock(),
            lane=lane,
            line=lane.line(work),
            future=asyncio.get_running_loop().create_future(),
        )
        waiter.line.append(waiter)
        self._bytes += work.cost.bytes
        self._start_timer()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.cancelled():
                waiter.line.drop(waiter)
                self._bytes -= work.cost.bytes
                self._pump()
            elif waiter.future.exception() is None:  # cancelled in the moment of its admission
                self.leave(waiter.future.result(), triton_seconds=None)
            raise

    def leave(self, slot: Slot, *, triton_seconds: float | None) -> None:
        """Gives a slot back. `triton_seconds`, its time in Triton, is learned from; None: nothing is."""
        in_flight, load = self.in_flight, (slot.load + slot.lane.load) / 2
        slot.lane.leave(slot)
        self._bytes -= slot.work.cost.bytes
        if triton_seconds is not None and triton_seconds > 0:
            if max(slot.in_flight, in_flight) <= FLOOR_ROWS:
                self._weights.learn(slot.work, triton_seconds)
            elif self._limit.seconds and slot.work not in self._weights:
                lightly = triton_seconds * self._limit.request_weight / self._limit.seconds
                self._weights.learn(slot.work, lightly)
            slot.lane.finished(slot, load=load, seconds=triton_seconds, in_flight=in_flight)
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
        while self.waiting or self.in_flight:
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._ordinary.waiting + self._large.waiting

    @property
    def in_flight(self) -> int:
        """Requests with Triton."""
        return self._ordinary.in_flight + self._large.in_flight

    @property
    def limit(self) -> float:
        """Requests of mean weight that may be with Triton, beside large ones."""
        mean = self._limit.request_weight
        return max(self._limit.value / mean, FLOOR_ROWS) if mean else float(FLOOR_ROWS)

    @property
    def oldest_wait(self) -> float:
        """Seconds that the oldest request has waited."""
        heads = [head.entered for lane in self._lanes for line in lane.lines if (head := line.first())]
        return max(0.0, self._clock() - min(heads)) if heads else 0.0

    @property
    def waiting_bytes(self) -> int:
        """Bytes of all requests that wait or are with Triton."""
        return self._bytes

    # -- rules --------------------------------------------------------------------------------------

    def _has_room(self, lane: Lane, work: Work, weight: float) -> bool:
        return self.in_flight < self._limits.in_flight and lane.has_room(work, weight)

    def _check_memory(self, work: Work) -> None:
        if self._bytes and self._bytes + work.cost.bytes > self._limits.waiting_bytes:
            raise _overload(
                f"its requests take {self._bytes:,} of {self._limits.waiting_bytes:,} bytes, and this one "
                f"{work.cost.bytes:,} more; send it again later.",
                reason="memory",
                retry_after=self._limit.seconds,
            )

    def _check_wait(self, lane: Lane, work: Work, weight: float) -> None:
        """Raises Refusal where the wait is known to become too long."""
        estimate = lane.wait(work)
        if estimate is None:
            return
        wait, usual = estimate
        if wait > min(usual * self._patience, _SURE_SHARE * self._limits.queue_seconds):
            raise _overload(
                f"{wait:.2f} s of work wait before this request; send it again later.",
                reason="overload",
                retry_after=wait,
            )
        answered = wait + lane.seconds(weight)
        if work.seconds_left is not None and answered > work.seconds_left:
            raise _overload(
                f"an answer takes {answered:.2f} s, and the deadline is in "
                f"{max(0.0, work.seconds_left):.2f} s; send it again later or with a later deadline.",
                reason="deadline",
                retry_after=wait,
            )

    # -- the queue ----------------------------------------------------------------------------------

    def _take(self, lane: Lane, work: Work, weight: float, *, queued_seconds: float) -> Slot:
        lane.enter(work, weight)
        return Slot(
            queued_seconds=queued_seconds,
            work=work,
            weight=weight,
            lane=lane,
            load=lane.load,
            in_flight=self.in_flight,
            phase=self._limit.phase,
            busy=queued_seconds > 0 or lane.busy(),
        )

    def _pump(self) -> None:
        """Lets those in whose turn it is."""
        now = self._clock()
        for lane in self._lanes:
            while (
                self._held is None
                and (waiter := lane.first())
                and self._has_room(lane, waiter.work, waiter.weight)
            ):
                waiter.line.drop(waiter)
                queued_seconds = max(now - waiter.entered, 1e-9)
                waiter.future.set_result(
                    self._take(lane, waiter.work, waiter.weight, queued_seconds=queued_seconds)
                )
        if self.waiting:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.in_flight:
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
        for line in (line for lane in self._lanes for line in lane.lines):
            # A timer may go off a little early.
            while (waiter := line.first()) and now - waiter.entered >= self._limits.queue_seconds - 1e-3:
                line.drop(waiter)
                self._bytes -= waiter.work.cost.bytes
                waiter.future.set_exception(self._too_old(now - waiter.entered))
        self._pump()
        self._start_timer()

    def _too_old(self, waited: float) -> Refusal:
        if self._held is not None:
            return again(self._held)
        return _overload(
            f"this request has waited for {waited:.2f} s; send it again later.",
            reason="queue_timeout",
            retry_after=self._limits.queue_seconds,
        )


def _overload(sentence: str, *, reason: str, retry_after: float) -> Refusal:
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"The server is busy: {sentence}",
        reason=reason,
        retry_after=max(_SOONEST_RETRY, retry_after),
    )
