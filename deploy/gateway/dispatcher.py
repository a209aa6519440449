"""Dispatcher: the authority of a gateway, in its main process.

Composes admission, the pool of Tritons, blame and metrics. A request whose Triton died under it is suspect:
it is sent once more, and suspects go one at a time, so that when another Triton dies one of them is to blame.
"""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Callable, Collection

import grpc

from deploy.gateway.admission.admission import Admission, Slot
from deploy.gateway.admission.rates import Rates
from deploy.gateway.backends.blame import Blame
from deploy.gateway.backends.pool import BackendPool
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.observability.metrics import Metrics
from deploy.gateway.refusals import Refusal, blamed, of_model, unavailable
from deploy.gateway.work import Ending, Ticket, Work

REPAIR_SECONDS = 120.0  # the longest that a request without a deadline waits for another Triton
RETRY_AFTER = 1.0  # seconds; a Triton takes some to start


@dataclasses.dataclass(kw_only=True)
class _Held:
    """A ticket that was given out."""

    work: Work
    slot: Slot
    backend: int
    admitted: float  # when the work came, by the clock
    sent: float  # when the ticket was given out
    suspect: bool = False  # sent a second time; holds the suspects' lock


class Dispatcher:
    """See `deploy.gateway.authority.Authority` for its methods. All of them run in one event loop."""

    def __init__(
        self,
        *,
        admission: Admission,
        pool: BackendPool,
        blame: Blame,
        rates: Rates,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._admission = admission
        self._pool = pool
        self._blame = blame
        self._rates = rates
        self._metrics = metrics
        self._clock = clock
        self._numbers = itertools.count(1)
        self._held: dict[int, _Held] = {}
        self._suspects = asyncio.Lock()
        self.pool_changed()

    # -- what the front asks for --------------------------------------------------------------------

    def served(self) -> ServedModels | None:
        active = self._pool.active
        return None if active is None else active.served

    def health(self, model: str | None = None) -> tuple[bool, str]:
        return self._pool.health(model)

    def address(self) -> str | None:
        active = self._pool.active
        return None if active is None else active.address

    def blamed(self) -> Collection[str]:
        return self._blame.digests

    async def admit(self, work: Work) -> Ticket:
        began = self._clock()
        try:
            if work.per_second is not None:
                self._rates.take(work.client, work.per_second)
            slot = await self._admission.enter(work)
        except Refusal as refusal:
            self._metrics.refused(work.model, refusal.reason)
            raise
        try:
            backend = self._pool.begin()
        except Refusal as refusal:
            self._admission.leave(slot, triton_seconds=None)
            self._metrics.refused(work.model, refusal.reason)
            raise
        now = self._clock()
        number = next(self._numbers)
        self._held[number] = _Held(work=work, slot=slot, backend=backend.generation, admitted=began, sent=now)
        return Ticket(
            number=number,
            backend=backend.generation,
            address=backend.address,
            queued_seconds=slot.queued_seconds,
        )

    async def failed(self, ticket: Ticket, code: grpc.StatusCode, details: str, *, digest: str) -> Ticket:
        held = self._held[ticket.number]
        if not await self._pool.lost(ticket.backend, code, details):
            raise of_model(code, details)
        if held.suspect:
            self._blame.accuse(digest)
            raise blamed()
        left = self._left(held)
        try:
            async with asyncio.timeout(left):
                await self._suspects.acquire()
                held.suspect = True
                backend = await self._pool.another(ticket.backend)
        except TimeoutError:
            raise unavailable(
                "the server that had this request died, and no other one was ready in time: send it again",
                reason="repairing",
                retry_after=RETRY_AFTER,
            ) from None
        self._pool.end(held.backend)
        held.backend = backend.generation
        held.sent = self._clock()
        self._metrics.event("sent_again")
        return dataclasses.replace(ticket, backend=backend.generation, address=backend.address)

    def finish(
        self,
        ticket: Ticket,
        work: Work,
        ending: Ending,
        *,
        code: grpc.StatusCode,
        seconds: float,
        faces: int,
    ) -> None:
        held = self._held.pop(ticket.number)
        if held.suspect:
            self._suspects.release()
        self._pool.end(held.backend)
        answered = ending is Ending.ANSWERED or (ending is Ending.ABANDONED and code is grpc.StatusCode.OK)
        # An error is often quick, and a suspect finds a cold Triton: neither shows what an answer takes.
        taken = self._clock() - held.sent if answered and not held.suspect else None
        self._admission.leave(held.slot, triton_seconds=taken)
        if answered:
            self._pool.answered(work.model, held.backend)
        self._metrics.finished(
            work=work, ticket=ticket, ending=ending, code=code, seconds=seconds, faces=faces
        )

    def refused(self, model: str, reason: str) -> None:
        self._metrics.refused(model, reason)

    # -- what the main process asks for -------------------------------------------------------------

    def pool_changed(self) -> None:
        """Lets work go, or holds it while no Triton is ready."""
        if self._pool.active is not None:
            self._admission.release()
            return
        _, sentence = self._pool.health()
        self._admission.hold(unavailable(sentence, reason="not_ready", retry_after=RETRY_AFTER))

    async def drain(self, refusal: Refusal) -> None:
        """Refuses new work and returns when all that was accepted has ended."""
        self._admission.close(refusal)
        await self._admission.drained()

    def _left(self, held: _Held) -> float:
        """Seconds that a request may still wait."""
        left = held.work.seconds_left
        waited = self._clock() - held.admitted
        return REPAIR_SECONDS if left is None else max(0.0, min(REPAIR_SECONDS, left - waited))
