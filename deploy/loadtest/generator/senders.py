"""One process's part of a load: clients that wait for their answers, or arrivals that do not."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from deploy.loadtest.generator.order import Order
from deploy.loadtest.generator.records import CANCELLED, NOT_SENT, RecordBuffer
from deploy.loadtest.loads import OpenLoop
from deploy.loadtest.protocols.base import OK, Connection, Reply

# Requests of a process that may be outstanding: a stalled server must not cost memory without end, and each
# has its task and its copy of the message in gRPC's queue.
MOST_OUTSTANDING = 4096
# Seconds that a client waits after an error, or as long as the server asks: one that asked again at once
# would measure how fast a server refuses.
PAUSE = 0.25
MOST_PAUSE = 5.0
_GRACE = 1.0  # seconds beyond its deadline after which a request is given up by us
# Of a schedule at a time.
_DRAWN_SECONDS = 60.0
_DRAWN_REQUESTS = 100_000
_MIX_CHUNK = 1024  # questions drawn at a time


class Senders:
    """Sends one order's requests; `records` has the one end of each."""

    def __init__(
        self,
        order: Order,
        *,
        connections: Sequence[Connection],
        messages: Sequence[Any],
        shares: Sequence[float],
        deadline: float,
    ) -> None:
        self.records = RecordBuffer()
        self.outstanding = 0
        self.late: list[float] = []
        self._order = order
        self._connections = connections
        self._messages = messages
        self._deadline = deadline
        self._random = np.random.default_rng(order.seed)
        self._kinds = self._mix(np.asarray(shares, np.float64))
        self._end = order.begin + order.longest
        self._changed = asyncio.Event()  # the end was moved, or all is given up
        self._mistake: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def stop_at(self, when: float) -> None:
        self._end = min(self._end, when)
        self._changed.set()

    def abort(self) -> None:
        """Gives up what is outstanding; each request still gets its record."""
        self._end = 0.0
        self._changed.set()
        for task in self._tasks:
            task.cancel()

    async def run(self) -> None:
        """Returns once all that was sent has ended; raises what a door should not have raised."""
        await self._wait_until(self._order.begin)
        if self._order.open_loop is not None:
            await self._send_when_due(self._order.open_loop)
        else:
            for number in range(self._order.clients):
                self._start(self._client(number))
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._mistake is not None:
            raise self._mistake

    # -- closed loop --------------------------------------------------------------------------------

    async def _client(self, number: int) -> None:
        connection = self._connections[number % len(self._connections)]
        while (now := time.monotonic()) < self._end:
            reply = await self._ask(connection, due=now, deadline=self._deadline)
            if reply.code != OK:
                # A deadline that passed was pause enough.
                spent = time.monotonic() - now
                await self._wait_until(now + spent + max(0.0, _pause(reply) - spent))

    # -- open loop ----------------------------------------------------------------------------------

    async def _send_when_due(self, load: OpenLoop) -> None:
        for number, due in enumerate(self._dues(load)):
            if due > time.monotonic():
                await self._wait_until(due)
            elif number % 16 == 0:
                await asyncio.sleep(0)  # behind: answers must be read all the same
            if due >= self._end:
                return
            self._start(self._arrival(number, due))

    def _dues(self, load: OpenLoop) -> Iterator[float]:
        """When requests are due, as time.monotonic; drawn piece by piece, as a soak has millions."""
        order, begin = self._order, 0.0
        piece = min(_DRAWN_SECONDS, _DRAWN_REQUESTS / load.rate)
        while begin < order.longest:
            seconds = min(piece, order.longest - begin)
            drawn = load.dues(seconds=seconds, share=order.share, random=self._random)
            yield from (order.begin + begin + drawn).tolist()
            begin += seconds

    async def _arrival(self, number: int, due: float) -> None:
        now = time.monotonic()
        self.late.append(now - due)
        left = due + self._deadline - now
        if left <= 0 or self.outstanding >= MOST_OUTSTANDING:
            why = (
                "the generator was later than the request's deadline"
                if left <= 0
                else f"{MOST_OUTSTANDING} requests of a generator process were outstanding"
            )
            self._record(due, now, next(self._kinds), Reply(code=NOT_SENT, details=why))
            return
        await self._ask(self._connections[number % len(self._connections)], due=due, deadline=left)

    # -- both ---------------------------------------------------------------------------------------

    async def _ask(self, connection: Connection, *, due: float, deadline: float) -> Reply:
        kind = next(self._kinds)
        self.outstanding += 1
        sent = time.monotonic()
        reply = Reply(code=CANCELLED, details="the load test was interrupted before its end")
        try:
            async with asyncio.timeout(deadline + _GRACE):
                reply = await connection.ask(self._messages[kind], deadline=deadline)
        except TimeoutError:
            reply = Reply(code="DEADLINE_EXCEEDED", details="no end came by its deadline")
        finally:
            self.outstanding -= 1
            self._record(due, sent, kind, reply)
        return reply

    def _record(self, due: float, sent: float, kind: int, reply: Reply) -> None:
        self.records.add(due=due, sent=sent, ended=time.monotonic(), kind=kind, reply=reply)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._mistake = error
            self.abort()

    async def _wait_until(self, when: float) -> None:
        """Returns at this time, or at the end if that is sooner."""
        while (left := min(when, self._end) - time.monotonic()) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _mix(self, shares: np.ndarray[Any, np.dtype[np.float64]]) -> Iterator[int]:
        while True:
            drawn = self._random.choice(len(shares), size=_MIX_CHUNK, p=shares / shares.sum())
            yield from drawn.tolist()


def _pause(reply: Reply) -> float:
    return min(MOST_PAUSE, max(PAUSE, reply.pushback or 0.0))
