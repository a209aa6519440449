"""The pool keeps one Triton active: the dead and the frozen are replaced, other repositories take over."""

import asyncio
import gc
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.embedded import CannotStart
from deploy.gateway.backends import candidates
from deploy.gateway.backends import pool as module
from deploy.gateway.backends import repair as repairs
from deploy.gateway.backends.backend import Backend
from deploy.gateway.backends.canaries import Canary
from deploy.gateway.refusals import Refusal
from tests.helpers.fake_tritons import FakeTritons
from tests.helpers.watched_pool import Watched, run, started

MODEL, TRITON = 1, 0
NOT_HEALTHY = "Failed to process the request(s), message: Stub process 'echo_0_0' is not healthy."


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


def test_a_triton_that_takes_a_live_process_for_dead_answers_nothing_more(
    tritons: FakeTritons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process goes on writing into memory that other requests have by now."""
    monkeypatch.setattr(module, "_FAREWELL_SECONDS", 50)

    async def test(watched: Watched) -> None:
        watched.pool.begin()
        assert await watched.pool.lost(1, grpc.StatusCode.INTERNAL, NOT_HEALTHY)
        await watched.until(lambda: tritons.servers[1].killed)
        await watched.whole(2)

    run(tritons, tmp_path, test)


def test_a_triton_that_breaks_off_a_connection_may_answer_the_others(
    tritons: FakeTritons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FAREWELL_SECONDS", 50)

    async def test(watched: Watched) -> None:
        watched.pool.begin()
        assert await watched.pool.lost(1, grpc.StatusCode.UNAVAILABLE, "Socket closed")
        await watched.whole(2)
        assert not tritons.servers[1].killed
        watched.pool.end(1)
        await watched.until(lambda: tritons.servers[1].killed)

    run(tritons, tmp_path, test)


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


@pytest.mark.parametrize("before", [True, False])
def test_whoever_hurries_the_end_does_not_wait_for_what_is_in_flight(
    tritons: FakeTritons, tmp_path: Path, before: bool
) -> None:
    reported: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
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
            gc.collect()

    (tmp_path / "one").mkdir()
    asyncio.run(asyncio.wait_for(main(), timeout=60))
    assert reported == [], "what is called off leaves no line in the log"


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


@pytest.fixture
def canary_answers(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[str]]:
    """What a Triton's canaries get in turn, by its generation; a good answer where nothing is left."""
    canary = Canary(model="echo", request=object(), batched=False, steps=frozenset({"echo"}))
    answers: dict[int, list[str]] = {}

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
    return answers


def test_a_model_that_does_not_answer_its_canary_is_unwell_and_then_its_triton_replaced(
    tritons: FakeTritons, tmp_path: Path, canary_answers: dict[int, list[str]]
) -> None:
    tired = "echo answers with INTERNAL: it is tired"
    canary_answers[1] = ["", tired, tired]

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


def test_a_canary_that_finds_a_live_process_taken_for_dead_ends_its_triton_at_once(
    tritons: FakeTritons,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    canary_answers: dict[int, list[str]],
) -> None:
    """It does not go on answering until another is ready, as one with a tired model does."""
    monkeypatch.setattr(module, "_FAREWELL_SECONDS", 50)
    canary_answers[1] = [f"echo answers with INTERNAL: {NOT_HEALTHY}"]

    async def test(watched: Watched) -> None:
        tritons.seconds = 0.2
        watched.pool.begin()
        await watched.until(lambda: tritons.servers[1].killed)
        assert watched.pool.active is None
        await watched.whole(2)
        assert watched.kinds() == ["sick", "repaired"]

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
