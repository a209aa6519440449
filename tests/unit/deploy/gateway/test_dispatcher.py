"""The dispatcher gives out tickets, sends again what a dead Triton had, and gives everything back."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from deploy.gateway.admission.admission import Admission
from deploy.gateway.admission.rates import Rates
from deploy.gateway.backends.blame import Blame
from deploy.gateway.dispatcher import Dispatcher
from deploy.gateway.options import Limits
from deploy.gateway.refusals import Refusal, unavailable
from deploy.gateway.work import Cost, Ending, Ticket, Work

WORK = Work(model="photo_analysis", cost=Cost(bytes=1000))
CODE = grpc.StatusCode.UNAVAILABLE


@dataclasses.dataclass
class Triton:
    generation: int
    in_flight: int = 0
    served: Any = None

    @property
    def address(self) -> str:
        return f"unix:/{self.generation}"


class Pool:
    """Tritons that die when the test says so."""

    def __init__(self) -> None:
        self.tritons = {1: Triton(1)}
        self.current: int | None = 1
        self.dead: set[int] = set()
        self.newer = asyncio.Event()
        self.changed: Callable[[], None] = lambda: None
        self.answers: list[tuple[str, int]] = []

    @property
    def active(self) -> Triton | None:
        return None if self.current is None else self.tritons[self.current]

    def die(self) -> None:
        assert self.current is not None
        self.dead.add(self.current)
        self.current = None
        self.newer.clear()
        self.changed()

    def repair(self) -> None:
        self.current = max(self.tritons) + 1
        self.tritons[self.current] = Triton(self.current)
        self.newer.set()
        self.changed()

    def begin(self) -> Triton:
        if self.active is None:
            raise unavailable("none is ready", reason="repairing", retry_after=1)
        self.active.in_flight += 1
        return self.active

    def end(self, generation: int) -> None:
        self.tritons[generation].in_flight -= 1

    async def lost(self, generation: int, code: grpc.StatusCode, details: str) -> bool:
        return generation in self.dead

    async def another(self, generation: int) -> Triton:
        if self.current is None or self.current <= generation:
            await self.newer.wait()
        return self.begin()

    def health(self, model: str | None = None) -> tuple[bool, str]:
        return self.current is not None, "" if self.current else "a Triton is being replaced"

    def answered(self, model: str, generation: int) -> None:
        self.answers.append((model, generation))


class Counts:
    """What the metrics were given."""

    def __init__(self) -> None:
        self.endings: list[Ending] = []
        self.reasons: list[str] = []
        self.events: list[str] = []

    def finished(self, *, ending: Ending, **_others: Any) -> None:
        self.endings.append(ending)

    def refused(self, model: str, reason: str) -> None:
        self.reasons.append(reason)

    def event(self, kind: str) -> None:
        self.events.append(kind)


class Bench:
    """A dispatcher with the real admission, and fakes around it."""

    def __init__(self) -> None:
        self.pool, self.counts = Pool(), Counts()
        self.admission = Admission(Limits(queue_seconds=5.0))
        self.blame = Blame(600.0)
        pool: Any = self.pool
        counts: Any = self.counts
        self.dispatcher = Dispatcher(
            admission=self.admission, pool=pool, blame=self.blame, rates=Rates(), metrics=counts
        )
        self.pool.changed = self.dispatcher.pool_changed

    def end(self, ticket: Ticket, ending: Ending = Ending.ANSWERED) -> None:
        self.dispatcher.finish(ticket, WORK, ending, code=grpc.StatusCode.OK, seconds=0.1, faces=1)

    async def fail(self, ticket: Ticket, digest: str = "d") -> Ticket:
        return await self.dispatcher.failed(ticket, CODE, "Socket closed", digest=digest)

    @property
    def idle(self) -> bool:
        return not self.admission.in_flight and not any(
            triton.in_flight for triton in self.pool.tritons.values()
        )


def test_a_ticket_names_the_backend_and_everything_is_given_back() -> None:
    async def run() -> None:
        bench = Bench()
        ticket = await bench.dispatcher.admit(WORK)
        assert (ticket.backend, ticket.address) == (1, "unix:/1")
        assert bench.admission.in_flight == 1
        bench.end(ticket)
        assert bench.idle
        assert bench.counts.endings == [Ending.ANSWERED]

    asyncio.run(run())


def test_a_model_s_own_error_goes_to_the_client_as_it_is() -> None:
    async def run() -> None:
        bench = Bench()
        ticket = await bench.dispatcher.admit(WORK)
        with pytest.raises(Refusal) as raised:
            await bench.dispatcher.failed(ticket, grpc.StatusCode.INTERNAL, "no engine", digest="d")
        assert (raised.value.code, raised.value.sentence) == (grpc.StatusCode.INTERNAL, "no engine")
        bench.end(ticket, Ending.FAILED)
        assert bench.idle

    asyncio.run(run())


def test_what_a_dead_triton_had_is_sent_once_more_to_the_next() -> None:
    async def run() -> None:
        bench = Bench()
        ticket = await bench.dispatcher.admit(WORK)
        bench.pool.die()
        again = asyncio.ensure_future(bench.fail(ticket))
        await asyncio.sleep(0.01)
        assert not again.done()
        bench.pool.repair()
        second = await again
        assert (second.number, second.backend) == (ticket.number, 2)
        assert bench.counts.events == ["sent_again"]
        bench.end(second)
        assert bench.idle
        assert bench.pool.answers == [(WORK.model, 2)]  # the one that answered

    asyncio.run(run())


def test_suspects_go_one_at_a_time_and_only_the_one_that_was_there_twice_is_blamed() -> None:
    async def run() -> None:
        bench = Bench()
        tickets = [await bench.dispatcher.admit(WORK) for _ in range(3)]
        bench.pool.die()
        resent = [
            asyncio.ensure_future(bench.fail(ticket, f"d{number}")) for number, ticket in enumerate(tickets)
        ]
        bench.pool.repair()
        await asyncio.sleep(0.01)
        assert [task.done() for task in resent] == [True, False, False]
        killer = resent[0].result()
        bench.pool.die()
        with pytest.raises(Refusal) as raised:
            await bench.fail(killer, "d0")
        assert raised.value.code is grpc.StatusCode.INTERNAL
        bench.end(killer, Ending.REFUSED)
        bench.pool.repair()
        for task in resent[1:]:
            ticket = await task
            assert ticket.backend == 3
            bench.end(ticket)
        assert bench.idle
        assert set(bench.dispatcher.suspects()) == {"d0"}
        with pytest.raises(Refusal) as raised:
            await bench.dispatcher.admit(dataclasses.replace(WORK, digest="d0"))
        assert raised.value.code is grpc.StatusCode.INTERNAL

    asyncio.run(run())


def test_a_suspect_is_refused_while_its_client_still_listens() -> None:
    """Past its deadline a client's library has given up, and no status of the server's arrives."""

    async def run() -> None:
        bench = Bench()
        ticket = await bench.dispatcher.admit(dataclasses.replace(WORK, seconds_left=2.0))
        bench.pool.die()
        with pytest.raises(Refusal) as raised:
            async with asyncio.timeout(1.9):
                await bench.fail(ticket)
        assert raised.value.code is grpc.StatusCode.UNAVAILABLE
        bench.end(ticket, Ending.REFUSED)
        assert bench.idle

    asyncio.run(run())


def test_work_waits_while_no_triton_is_ready_and_goes_on_with_the_next() -> None:
    async def run() -> None:
        bench = Bench()
        bench.pool.die()
        waiting = asyncio.ensure_future(bench.dispatcher.admit(WORK))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        bench.pool.repair()
        bench.end(await waiting)
        assert bench.idle

    asyncio.run(run())


def test_draining_answers_what_was_accepted_and_refuses_the_rest() -> None:
    async def run() -> None:
        bench = Bench()
        ticket = await bench.dispatcher.admit(WORK)
        stopping = unavailable("it stops", reason="stopping", retry_after=1)
        drained = asyncio.ensure_future(bench.dispatcher.drain(stopping))
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal) as raised:
            await bench.dispatcher.admit(WORK)
        assert raised.value.reason == "stopping"
        assert not drained.done()
        bench.end(ticket)
        await asyncio.wait_for(drained, 5)
        assert bench.counts.reasons == ["stopping"]

    asyncio.run(run())


def test_a_client_beyond_its_rate_is_refused_before_it_takes_a_place() -> None:
    async def run() -> None:
        bench = Bench()
        work = dataclasses.replace(WORK, client="a", per_second=1.0)
        reasons = []
        for _ in range(20):
            try:
                bench.end(await bench.dispatcher.admit(work))
            except Refusal as refusal:
                reasons.append(refusal)
        assert reasons
        assert {refusal.code for refusal in reasons} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert bench.idle

    asyncio.run(run())


def test_a_suspect_is_alone_and_new_work_waits_for_it() -> None:
    async def run() -> None:
        bench = Bench()
        ticket = await bench.dispatcher.admit(WORK)
        bench.pool.die()
        again = asyncio.ensure_future(bench.fail(ticket))
        await asyncio.sleep(0)
        bench.pool.repair()
        suspect = await again
        new = asyncio.ensure_future(bench.dispatcher.admit(WORK))
        await asyncio.sleep(0.01)
        assert not new.done()
        bench.end(suspect)
        bench.end(await asyncio.wait_for(new, 5))
        assert bench.idle
        assert not bench.dispatcher.suspects()

    asyncio.run(run())


def test_a_suspect_waits_until_what_the_next_triton_has_already_is_answered() -> None:
    async def run() -> None:
        bench = Bench()
        ticket = await bench.dispatcher.admit(WORK)
        bench.pool.die()
        bench.pool.repair()  # a standby: before the request has failed
        other = await bench.dispatcher.admit(WORK)
        again = asyncio.ensure_future(bench.fail(ticket))
        await asyncio.sleep(0.01)
        assert not again.done()
        bench.end(other)
        bench.end(await asyncio.wait_for(again, 5))
        assert bench.idle

    asyncio.run(run())


def test_who_was_not_alone_is_not_blamed_for_a_second_death(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.gateway.dispatcher.ALONE_SECONDS", 0.01)

    async def run() -> None:
        bench = Bench()
        ticket = await bench.dispatcher.admit(WORK)
        bench.pool.die()
        bench.pool.repair()
        second = await bench.fail(ticket, "innocent")
        await asyncio.sleep(0.05)  # for so long that new work is let in
        killer = await bench.dispatcher.admit(WORK)
        bench.pool.die()
        resent = [
            asyncio.ensure_future(bench.fail(one, digest))
            for one, digest in ((second, "innocent"), (killer, "killer"))
        ]
        bench.pool.repair()
        bench.end(await asyncio.wait_for(resent[0], 5))
        bench.end(await asyncio.wait_for(resent[1], 5), Ending.REFUSED)
        assert set(bench.dispatcher.suspects()) == {"killer"}
        assert bench.idle

    asyncio.run(run())


def test_a_killer_that_leaves_is_alone_when_it_comes_again() -> None:
    async def run() -> None:
        bench = Bench()
        ticket = await bench.dispatcher.admit(WORK)
        bench.pool.die()
        with pytest.raises(Refusal):
            await bench.dispatcher.failed(ticket, CODE, "Socket closed", digest="k", resend=False)
        bench.end(ticket, Ending.REFUSED)
        bench.pool.repair()
        other = await bench.dispatcher.admit(WORK)
        coming = asyncio.ensure_future(bench.dispatcher.admit(dataclasses.replace(WORK, digest="k")))
        await asyncio.sleep(0.01)
        assert not coming.done()
        bench.end(other)
        killer = await asyncio.wait_for(coming, 5)
        bench.pool.die()
        with pytest.raises(Refusal) as raised:
            await bench.fail(killer, "k")
        assert raised.value.reason == "blamed"
        bench.end(killer, Ending.REFUSED)
        assert bench.idle

    asyncio.run(run())
