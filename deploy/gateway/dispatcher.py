"""Dispatcher: the authority of a gateway, in its main process.

Composes admission, the pool of Tritons, blame and metrics. A request whose Triton died under it is a suspect.
It is sent again with nothing else on the Triton that gets it, while new work waits: if that one dies too, it
died of this request.
"""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Callable, Collection

import grpc

from deploy.gateway.admission.admission import Admission, Slot
from deploy.gateway.admission.rates import Rates
from deploy.gateway.backends.backend import Backend
from deploy.gateway.backends.blame import Blame
from deploy.gateway.backends.loss import lacks_shared_memory
from deploy.gateway.backends.pool import BackendPool
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.observability.answer_sums import AnswerBlock
from deploy.gateway.observability.metrics import Metrics
from deploy.gateway.refusals import Refusal, blamed, no_shared_memory, of_model, unavailable
from deploy.gateway.work import Ending, Ticket, Work

REPAIR_SECONDS = 120.0  # the longest that a request without a deadline waits for another Triton
# A refusal has to arrive before the client's deadline, after which its library makes up an error of its own.
_ON_ITS_WAY = 0.5  # seconds, and no more than a share of what the request has
_SHARE_ON_ITS_WAY = 0.2
RETRY_AFTER = 1.0  # seconds; a Triton takes some to start
# New work waits for suspects no longer than this; those that are left then share a Triton with it.
ALONE_SECONDS = 10.0
# Tritons that may die of a request that was never alone, before it is blamed all the same.
DEATHS = 3


@dataclasses.dataclass(kw_only=True, eq=False)
class _Held:
    """A ticket that was given out, or a suspect that waits for one."""

    work: Work
    slot: Slot
    backend: int  # 0: none yet
    admitted: float  # when the work came, by the clock
    sent: float  # when the ticket was given out
    digest: str = ""  # of a suspect
    deaths: int = 0  # of Tritons that had it
    has_turn: bool = False
    alone: bool = False  # with a Triton, and nothing else


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
        self._suspects: set[_Held] = set()  # those that wait for their turn, or have it
        self._turn = asyncio.Lock()
        self._keeps_away = False  # new work waits for the suspects
        self._end_of_it: asyncio.TimerHandle | None = None
        self._moved = asyncio.Event()  # set when a ticket came back or the pool changed, and then another one
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

    def suspects(self) -> Collection[str]:
        return self._blame.digests

    async def admit(self, work: Work) -> Ticket:
        began = self._clock()
        try:
            return await self._admit(work, began)
        except Refusal as refusal:
            self._metrics.refused(work.model, refusal.reason)
            raise

    async def _admit(self, work: Work, began: float) -> Ticket:
        if work.digest and self._blame.is_blamed(work.digest):
            raise blamed()
        if work.per_second is not None:
            self._rates.take(work.client, work.per_second)
        slot = await self._admission.enter(work)
        held = _Held(work=work, slot=slot, backend=0, admitted=began, sent=began)
        try:
            if work.digest and work.digest in self._blame.digests:
                held.digest = work.digest
                backend = await self._alone(held)
            else:
                backend = self._pool.begin()
        except BaseException:
            self._admission.leave(slot, triton_seconds=None)
            raise
        held.backend, held.sent = backend.generation, self._clock()
        number = next(self._numbers)
        self._held[number] = held
        return Ticket(
            number=number,
            backend=backend.generation,
            address=backend.address,
            queued_seconds=slot.queued_seconds,
        )

    async def failed(
        self, ticket: Ticket, code: grpc.StatusCode, details: str, *, digest: str, resend: bool = True
    ) -> Ticket:
        held = self._held[ticket.number]
        if not await self._pool.lost(ticket.backend, code, details):
            raise no_shared_memory() if lacks_shared_memory(details) else of_model(code, details)
        held.deaths += 1
        if held.alone or held.deaths >= DEATHS:
            held.digest = ""
            self._blame.accuse(digest)
            raise blamed()
        held.digest = digest
        self._blame.suspect(digest)
        if not resend:
            raise unavailable("the client has left", reason="client_left", retry_after=RETRY_AFTER)
        self._end_turn(held)
        backend = await self._alone(held)
        self._pool.end(held.backend)
        held.backend, held.sent = backend.generation, self._clock()
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
        was_suspect = bool(held.digest)
        answered = ending is Ending.ANSWERED or (ending is Ending.ABANDONED and code is grpc.StatusCode.OK)
        if was_suspect and (answered or ending is Ending.FAILED):
            self._blame.clear(held.digest)
        self._end_turn(held)
        self._pool.end(held.backend)
        # An error is often quick, and a suspect finds a cold Triton: neither shows what an answer takes.
        taken = self._clock() - held.sent if answered and not was_suspect else None
        self._admission.leave(held.slot, triton_seconds=taken)
        if answered:
            self._pool.answered(work.model, held.backend)
        self._metrics.finished(
            work=work, ticket=ticket, ending=ending, code=code, seconds=seconds, faces=faces
        )
        self._pulse()

    def left_out(self, model: str, faces: int) -> None:
        self._metrics.left_out(model, faces)

    def answered(self, block: AnswerBlock) -> None:
        self._metrics.answered(block)

    def refused(self, model: str, reason: str) -> None:
        self._metrics.refused(model, reason)

    # -- what the main process asks for -------------------------------------------------------------

    def pool_changed(self) -> None:
        """Lets work go, or holds it while no Triton is ready or suspects are to be alone."""
        if self._pool.active is None:
            _, sentence = self._pool.health()
            self._admission.hold(unavailable(sentence, reason="not_ready", retry_after=RETRY_AFTER))
        elif self._keeps_away:
            self._admission.hold(
                unavailable(
                    "a server died, and what it had is answered first: try again in a moment",
                    reason="repairing",
                    retry_after=RETRY_AFTER,
                )
            )
        else:
            self._admission.release()
        self._pulse()

    async def drain(self, refusal: Refusal) -> None:
        """Refuses new work and returns when all that was accepted has ended."""
        self._admission.close(refusal)
        await self._admission.drained()

    # -- suspects -----------------------------------------------------------------------------------

    async def _alone(self, held: _Held) -> Backend:
        """A Triton for a suspect, newer than the one that died: a request is begun on it, no other is there.

        Raises Refusal where there is none before its deadline. From here to `_end_turn` other suspects
        wait, and new work for as long as `ALONE_SECONDS`.
        """
        self._suspects.add(held)
        if len(self._suspects) == 1:
            self._keeps_away = True
            self.pool_changed()
        try:
            async with asyncio.timeout(self._left(held)):
                await self._turn.acquire()
                held.has_turn = True
                return await self._emptied(held)
        except TimeoutError:
            self._end_turn(held)
            raise unavailable(
                "the server that had this request died, and no other one was ready in time: send it again",
                reason="repairing",
                retry_after=RETRY_AFTER,
            ) from None
        except BaseException:
            self._end_turn(held)
            raise

    async def _emptied(self, held: _Held) -> Backend:
        after = held.backend
        while True:
            backend = await self._pool.another(after)
            if self._keeps_away and self._end_of_it is None:
                self._end_of_it = asyncio.get_running_loop().call_later(ALONE_SECONDS, self._let_in)
            try:
                while self._keeps_away and self._pool.active is backend and self._others_on(backend):
                    await self._moved.wait()
                if self._pool.active is backend:
                    held.alone = self._keeps_away
                    return backend
            except BaseException:
                self._pool.end(backend.generation)
                raise
            self._pool.end(backend.generation)
            after = backend.generation

    def _others_on(self, backend: Backend) -> bool:
        return any(held.backend == backend.generation for held in self._held.values())

    def _let_in(self) -> None:
        """New work goes on; from now on no suspect is alone."""
        if self._end_of_it is not None:
            self._end_of_it.cancel()
            self._end_of_it = None
        self._keeps_away = False
        for held in self._suspects:
            held.alone = False
        self.pool_changed()

    def _end_turn(self, held: _Held) -> None:
        """The suspect is with no Triton any more; does nothing for what is none."""
        if held.has_turn:
            held.has_turn = held.alone = False
            self._turn.release()
        if held in self._suspects:
            self._suspects.discard(held)
            if not self._suspects:
                self._let_in()

    def _pulse(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _left(self, held: _Held) -> float:
        """Seconds that a request may still wait."""
        left = held.work.seconds_left
        waited = self._clock() - held.admitted
        if left is None:
            return REPAIR_SECONDS
        return max(0.0, min(REPAIR_SECONDS, left - min(_ON_ITS_WAY, _SHARE_ON_ITS_WAY * left) - waited))
