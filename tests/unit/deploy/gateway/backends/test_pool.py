"""The pool keeps one Triton active: the dead and the frozen are replaced, other repositories take over."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.embedded import CannotStart, RepositoryNotFound
from deploy.gateway.backends import candidates, standby
from deploy.gateway.backends import pool as module
from deploy.gateway.backends import repair as repairs
from deploy.gateway.backends.backend import Backend
from deploy.gateway.backends.canaries import Canary
from deploy.gateway.backends.pool import BackendPool
from deploy.gateway.options import GatewayOptions, Repair
from deploy.gateway.refusals import Refusal
from tests.helpers.fake_tritons import FakeTritons

MODEL, TRITON = 1, 0


class Watched:
    """A pool over sleeping Tritons, and what it reported."""

    def __init__(self, pool: BackendPool, tritons: FakeTritons, events: list[tuple[str, str]]) -> None:
        self.pool = pool
        self.tritons = tritons
        self.events = events

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(2000):
            if holds():
                return
            await asyncio.sleep(0.005)
        pytest.fail(f"it never came to be; events: {self.events}")

    async def whole(self, generation: int) -> None:
        await self.until(lambda: self.pool.active is not None and self.pool.active.generation == generation)


@pytest.fixture
def tritons(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTritons]:
    monkeypatch.setattr(module, "_FAREWELL_SECONDS", 0.2)
    monkeypatch.setattr(standby, "_LOOK_SECONDS", 0.01)
    fake = FakeTritons()
    yield fake
    fake.end()


def run(
    tritons: FakeTritons, folder: Path, test: Callable[[Watched], Coroutine[Any, Any, None]], **repair: Any
) -> None:
    """Runs `test` with a started pool over the repository `folder`/one; "two" and "broken" lie beside it."""
    for name in ("one", "two", "broken"):
        (folder / name).mkdir(exist_ok=True)

    async def main() -> None:
        async with started(tritons, folder, **repair) as watched:
            await test(watched)

    asyncio.run(asyncio.wait_for(main(), timeout=60))


@contextlib.asynccontextmanager
async def started(
    tritons: FakeTritons, folder: Path, *, grace_seconds: float = 0.2, **repair: Any
) -> AsyncIterator[Watched]:
    settings: dict[str, Any] = {"standby": "never", "probe_seconds": 0.01} | repair
    options = GatewayOptions(
        repository=folder / "one",
        log=folder / "triton.log",
        drain_seconds=5,
        grace_seconds=grace_seconds,
        repair=Repair(**settings),
    )
    events: list[tuple[str, str]] = []
    pool = BackendPool(
        options,
        on_change=lambda: None,
        on_event=lambda kind, sentence: events.append((kind, sentence)),
        start=tritons.start,
    )
    await pool.start()
    try:
        yield Watched(pool, tritons, events)
    finally:
        await pool.stop()
        for server in tritons.servers.values():
            assert server.killed


def test_requests_are_counted_on_the_active_triton(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        pool = watched.pool
        assert pool.health() == (True, "")
        assert pool.health("echo") == (True, "")
        assert pool.health("other") == (False, "Request for unknown model: 'other' is not found")
        backend = pool.begin()
        assert backend is pool.active
        assert backend.in_flight == 1
        pool.end(backend.generation)
        assert backend.in_flight == 0

    run(tritons, tmp_path, test)


@pytest.mark.parametrize("process", [MODEL, TRITON])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_frozen_process_is_found_and_its_triton_replaced(
    tritons: FakeTritons, tmp_path: Path, process: int, number: signal.Signals
) -> None:
    async def test(watched: Watched) -> None:
        tritons.seconds = 0.1
        tritons.signal(1, process, number)
        await watched.until(lambda: watched.pool.active is None)
        ready, why = watched.pool.health()
        assert not ready
        assert "repairing itself" in why
        with pytest.raises(Refusal) as caught:
            watched.pool.begin()
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        assert caught.value.retry_after
        await watched.whole(2)
        await watched.until(lambda: tritons.servers[1].killed)
        assert watched.kinds() == ["sick", "repaired"]
        assert watched.pool.repairs == 1
        assert watched.pool.health() == (True, "")

    run(tritons, tmp_path, test)


def test_a_process_that_was_stopped_for_a_moment_is_left_alone(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        tritons.signal(1, MODEL, signal.SIGSTOP)
        await asyncio.sleep(0.03)
        tritons.signal(1, MODEL, signal.SIGCONT)
        await asyncio.sleep(0.3)
        assert not watched.events

    run(tritons, tmp_path, test)


def test_a_request_that_died_with_its_triton_is_begun_again_on_the_next(
    tritons: FakeTritons, tmp_path: Path
) -> None:
    async def test(watched: Watched) -> None:
        pool = watched.pool
        backend = pool.begin()
        tritons.signal(1, TRITON, signal.SIGKILL)
        assert await pool.lost(1, grpc.StatusCode.UNAVAILABLE, "Socket closed")
        pool.end(1)
        again = await pool.another(1)
        assert again.generation == 2
        assert again.in_flight == 1
        assert backend.in_flight == 0
        assert await pool.lost(1, grpc.StatusCode.UNAVAILABLE, "Socket closed")  # another that was on it
        assert pool.repairs == 1

    run(tritons, tmp_path, test, probe_seconds=60)


def test_a_request_s_own_error_is_not_a_death(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        assert not await watched.pool.lost(1, grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape")
        assert not await watched.pool.lost(1, grpc.StatusCode.INTERNAL, "ValueError: no crop is good enough")
        assert not await watched.pool.lost(1, grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
        assert not watched.events

    run(tritons, tmp_path, test)


def test_a_death_shortly_after_the_error_is_still_found(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        asking = asyncio.create_task(watched.pool.lost(1, grpc.StatusCode.UNAVAILABLE, "something ended"))
        await asyncio.sleep(0.1)
        tritons.signal(1, TRITON, signal.SIGKILL)
        assert await asking

    run(tritons, tmp_path, test, probe_seconds=60)


def test_a_sick_triton_may_answer_what_it_can_for_a_moment(
    tritons: FakeTritons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FAREWELL_SECONDS", 50)

    async def test(watched: Watched) -> None:
        watched.pool.begin()
        tritons.signal(1, MODEL, signal.SIGKILL)
        await watched.whole(2)
        assert not tritons.servers[1].killed  # for it has a request, and its server lives
        watched.pool.end(1)
        await watched.until(lambda: tritons.servers[1].killed)

    run(tritons, tmp_path, test)


def test_a_triton_with_a_frozen_process_answers_nothing_more(
    tritons: FakeTritons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the process goes on, what it answers may be another request's."""
    monkeypatch.setattr(module, "_FAREWELL_SECONDS", 50)

    async def test(watched: Watched) -> None:
        watched.pool.begin()
        tritons.signal(1, MODEL, signal.SIGSTOP)
        await watched.whole(2)
        await watched.until(lambda: tritons.servers[1].killed)

    run(tritons, tmp_path, test)


def test_a_standby_takes_over_at_once_and_another_is_started(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        await watched.until(lambda: watched.pool.standby_ready)
        tritons.signal(1, MODEL, signal.SIGKILL)
        await watched.whole(2)
        assert watched.kinds() == ["standby_ready", "sick", "repaired"]
        await watched.until(lambda: watched.pool.standby_ready)
        assert len(tritons.starts) == 3

    run(tritons, tmp_path, test, standby="always")


def test_a_standby_that_is_being_started_takes_over_and_no_other_is_started_beside_it(
    tritons: FakeTritons, tmp_path: Path
) -> None:
    async def test(watched: Watched) -> None:
        tritons.seconds = 0.3
        await watched.until(lambda: len(tritons.starts) == 2)
        tritons.signal(1, TRITON, signal.SIGKILL)
        await watched.whole(2)
        await watched.until(lambda: watched.pool.standby_ready)
        assert tritons.most_at_once == 1
        assert watched.kinds() == ["sick", "standby_ready", "repaired", "standby_ready"]

    run(tritons, tmp_path, test, standby="always")


def test_no_standby_is_started_beside_a_repair(
    tritons: FakeTritons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "_AGAIN_SECONDS", 0.05)

    async def test(watched: Watched) -> None:
        tritons.failures = ["no memory left"]
        await watched.until(lambda: not tritons.failures)  # the standby's; the next one is wanted soon
        tritons.seconds = 0.3
        watched.pool.cut_off(1)
        await watched.whole(2)
        await watched.until(lambda: watched.pool.standby_ready)
        assert tritons.most_at_once == 1

    run(tritons, tmp_path, test, standby="always")


def test_no_standby_is_started_beside_a_swap(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        tritons.seconds = 0.3
        await watched.pool.swap(tmp_path / "two")
        await watched.until(lambda: watched.pool.standby_ready)
        assert tritons.most_at_once == 1

    run(tritons, tmp_path, test, standby="always")


def test_a_standby_that_takes_over_during_a_repair_is_not_replaced_by_it(
    tritons: FakeTritons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairs, "_FIRST_DELAY", 0.3)

    async def test(watched: Watched) -> None:
        tritons.seconds = 0.1
        await watched.until(lambda: len(tritons.starts) == 2)
        watched.pool.cut_off(1)  # before it has answered anything: the repair begins after a while
        await watched.until(lambda: watched.pool.standby_ready)
        tritons.signal(1, TRITON, signal.SIGKILL)
        await watched.whole(2)
        await asyncio.sleep(0.8)
        assert watched.pool.active is not None
        assert watched.pool.active.generation == 2
        assert watched.kinds().count("repaired") == 1

    run(tritons, tmp_path, test, standby="always")


def test_who_lost_its_triton_goes_to_the_active_one_though_that_was_started_earlier(
    tritons: FakeTritons, tmp_path: Path
) -> None:
    async def test(watched: Watched) -> None:
        assert (await asyncio.wait_for(watched.pool.another(2), timeout=20)).generation == 1

    run(tritons, tmp_path, test)


def test_a_standby_that_dies_is_replaced_and_nobody_notices(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        await watched.until(lambda: watched.pool.standby_ready)
        tritons.signal(2, MODEL, signal.SIGKILL)
        await watched.until(lambda: 3 in tritons.servers and watched.pool.standby_ready)
        assert watched.pool.active is not None
        assert watched.pool.active.generation == 1
        assert watched.pool.repairs == 0

    run(tritons, tmp_path, test, standby="always")


@pytest.mark.parametrize("mode", ["never", "always"])
def test_a_triton_whose_calls_were_cut_off_is_replaced_before_it_falls(
    tritons: FakeTritons, tmp_path: Path, mode: str
) -> None:
    async def test(watched: Watched) -> None:
        if mode == "always":
            await watched.until(lambda: watched.pool.standby_ready)
        tritons.seconds = 0.1
        watched.pool.cut_off(1)
        watched.pool.cut_off(1)
        watched.pool.cut_off(77)
        assert watched.pool.begin()  # there is one at any time
        await watched.whole(2)
        await watched.until(lambda: tritons.servers[1].killed)
        assert watched.pool.repairs == 1

    run(tritons, tmp_path, test, standby=mode)


def test_another_repository_takes_over_and_the_old_one_answers_what_it_has(
    tritons: FakeTritons, tmp_path: Path
) -> None:
    async def test(watched: Watched) -> None:
        pool = watched.pool
        old = pool.begin()
        await pool.swap(tmp_path / "two")
        assert pool.repository == tmp_path / "two"
        assert pool.previous == tmp_path / "one"
        assert pool.begin().repository == tmp_path / "two"
        await asyncio.sleep(0.1)
        assert not tritons.servers[1].killed
        assert not old.sick
        pool.end(1)
        await watched.until(lambda: tritons.servers[1].killed)
        await pool.rollback()
        assert pool.begin().repository == tmp_path / "one"
        assert pool.previous == tmp_path / "two"
        assert watched.kinds() == ["swapped", "rolled_back"]

    run(tritons, tmp_path, test)


def test_the_end_of_the_one_before_is_not_reported_as_a_death(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        tritons.servers[1].lingers = 0.3  # many looks at it
        await watched.pool.swap(tmp_path / "two")
        await watched.until(lambda: len(watched.pool.backends) == 1)
        assert watched.kinds() == ["swapped"]

    run(tritons, tmp_path, test)


def test_a_swap_that_fails_changes_nothing(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        before = watched.pool.active
        with pytest.raises(CannotStart, match="the model repository is broken"):
            await watched.pool.swap(tmp_path / "broken")
        assert watched.pool.active is before
        assert watched.pool.repository == tmp_path / "one"
        assert watched.pool.previous is None
        with pytest.raises(RepositoryNotFound, match="nothing to go back to"):
            await watched.pool.rollback()
        assert watched.pool.health() == (True, "")

    run(tritons, tmp_path, test)


def test_a_link_is_followed_once(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        link = tmp_path / "repository"
        link.symlink_to("two")
        await watched.pool.swap(link)
        link.unlink()
        link.symlink_to("broken")
        tritons.signal(2, TRITON, signal.SIGKILL)
        await watched.whole(3)
        assert watched.pool.repository == tmp_path / "two"

    run(tritons, tmp_path, test)


def test_a_standby_of_the_old_repository_is_replaced(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        await watched.until(lambda: watched.pool.standby_ready)
        await watched.pool.swap(tmp_path / "two")
        assert tritons.servers[2].killed
        await watched.until(lambda: watched.pool.standby_ready)
        assert tritons.starts == [tmp_path / "one", tmp_path / "one", tmp_path / "two", tmp_path / "two"]

    run(tritons, tmp_path, test, standby="always")


def test_another_repository_ends_a_repair_that_does_not_succeed(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        tritons.failures = ["no memory left"]
        tritons.signal(1, TRITON, signal.SIGKILL)
        waiting = asyncio.create_task(watched.pool.another(1))
        await watched.until(lambda: not tritons.failures)
        await watched.pool.swap(tmp_path / "two")
        assert (await waiting).repository == tmp_path / "two"
        await asyncio.sleep(0.7)  # longer than until the next try
        assert len(tritons.starts) == 3

    run(tritons, tmp_path, test)


def test_one_that_dies_as_soon_as_it_has_taken_over_from_a_repair_is_replaced(
    tritons: FakeTritons, tmp_path: Path
) -> None:
    async def test(watched: Watched) -> None:
        tritons.seconds, tritons.cancel_seconds = 3600, 0.3
        tritons.signal(1, TRITON, signal.SIGKILL)
        await watched.until(lambda: len(tritons.starts) == 2)
        tritons.seconds = 0
        swapping = asyncio.ensure_future(watched.pool.swap(tmp_path / "two"))
        await watched.until(lambda: 2 in tritons.servers)
        tritons.signal(2, TRITON, signal.SIGKILL)
        await swapping
        await watched.whole(3)

    run(tritons, tmp_path, test)


@pytest.mark.parametrize("before", [True, False])
def test_whoever_hurries_the_end_does_not_wait_for_what_is_in_flight(
    tritons: FakeTritons, tmp_path: Path, before: bool
) -> None:
    async def main() -> None:
        async with started(tritons, tmp_path, grace_seconds=3600) as watched:
            watched.pool.begin()
            hurried = asyncio.Event()
            if before:
                hurried.set()
            stopping = asyncio.ensure_future(watched.pool.stop(hurried=hurried))
            if not before:
                await asyncio.sleep(0.2)
                assert not stopping.done()
                hurried.set()
            await stopping

    (tmp_path / "one").mkdir()
    asyncio.run(asyncio.wait_for(main(), timeout=60))


def test_who_waits_for_another_triton_is_refused_at_the_end(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        tritons.seconds = 3600
        tritons.signal(1, TRITON, signal.SIGKILL)
        waiting = asyncio.create_task(watched.pool.another(1))
        await asyncio.sleep(0.1)
        await watched.pool.stop()
        with pytest.raises(Refusal) as caught:
            await waiting
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        assert caught.value.reason == "stopping"

    run(tritons, tmp_path, test)


def test_a_start_that_goes_on_at_the_end_is_called_off(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        tritons.seconds = 3600
        swapping = asyncio.create_task(watched.pool.swap(tmp_path / "two"))
        await asyncio.sleep(0.05)
        await watched.pool.stop()
        with pytest.raises(CannotStart, match="stopping"):
            await swapping

    run(tritons, tmp_path, test)


def test_a_model_that_does_not_answer_its_canary_is_unwell_and_then_its_triton_replaced(
    tritons: FakeTritons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = Canary(model="echo", request=object(), batched=False, steps=frozenset({"echo"}))
    answers = {1: ["", "echo answers with INTERNAL: it is tired", "echo answers with INTERNAL: it is tired"]}

    async def ask(backend: Backend, _canary: object, *, timeout: float) -> str:
        del timeout
        mine = answers.get(backend.generation, [])
        return mine.pop(0) if mine else ""

    async def pass_all(backend: Backend, _canaries: object, *, timeout: float) -> str:
        del backend, timeout
        return ""

    for user in (module, candidates):
        monkeypatch.setattr(user, "canaries_of", lambda _served: {"echo": canary})
    monkeypatch.setattr(module, "ask", ask)
    monkeypatch.setattr(candidates, "pass_all", pass_all)
    monkeypatch.setattr(module, "_TICK", 0.01)

    async def test(watched: Watched) -> None:
        tritons.seconds = 0.2
        await watched.until(lambda: not watched.pool.health()[0])
        assert watched.pool.health("echo") == (False, "echo answers with INTERNAL: it is tired")
        assert watched.pool.active is not None  # its other models are answered meanwhile
        await watched.whole(2)
        assert watched.pool.health() == (True, "")
        assert watched.kinds() == ["unwell", "sick", "repaired"]
        await watched.until(lambda: tritons.servers[1].killed)

    run(tritons, tmp_path, test, canary_seconds=0.01)


def test_late_answers_of_the_first_one_prove_none_of_those_that_die_young(
    tritons: FakeTritons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairs, "_FIRST_DELAY", 0.001)

    async def test(watched: Watched) -> None:
        pool = watched.pool
        pool.answered("echo", 1)
        for generation in range(1, 7):
            await watched.whole(generation)
            pool.answered("echo", 1)
            tritons.signal(generation, TRITON, signal.SIGKILL)
        # Five in a row: this is no repair any more.
        await watched.until(lambda: pool.health() == (False, "tritonserver is dead"))

    run(tritons, tmp_path, test)


@pytest.mark.parametrize("loop", ["_look", "_ask_one"])
def test_nothing_ends_the_detection_of_what_is_sick(
    tritons: FakeTritons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr(module, "_TICK", 0.01)
    fails = {"_look": "look", "_ask_one": "_canaries"}[loop]

    async def test(watched: Watched) -> None:
        active: Any = watched.pool.active if loop == "_look" else watched.pool
        kept = getattr(active, fails)
        setattr(active, fails, None)  # nobody expects this
        await watched.until(lambda: "failed" in watched.kinds())
        await asyncio.sleep(0.1)
        assert watched.kinds() == ["failed"]  # once, however often it happens
        setattr(active, fails, kept)
        if loop == "_ask_one":
            kept.canaries["echo"] = None
            kept.due = lambda: watched.events.append(("asked", ""))
            await watched.until(lambda: "asked" in watched.kinds())
        tritons.signal(1, TRITON, signal.SIGKILL)
        await watched.whole(2)

    run(tritons, tmp_path, test)


def test_a_repair_goes_on_whatever_its_report_comes_upon(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        def fail() -> None:
            raise RuntimeError("nobody expects this")

        pool: Any = watched.pool
        pool._on_change = fail
        tritons.signal(1, TRITON, signal.SIGKILL)
        await watched.whole(2)
        await watched.until(lambda: "repaired" in watched.kinds())

    run(tritons, tmp_path, test)
