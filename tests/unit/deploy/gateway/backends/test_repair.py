"""A repair goes on until a Triton is ready: soon at first, then rarely and with the reason shown."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.gateway.backends import repair as module
from deploy.gateway.backends.backend import Backend
from deploy.gateway.backends.repair import Backoff, Repair
from tests.helpers.fake_tritons import FakeTritons


@pytest.fixture
def tritons() -> Iterator[FakeTritons]:
    fake = FakeTritons()
    yield fake
    fake.end()


def test_five_failures_within_a_minute_leave_one_try_in_half_a_minute() -> None:
    now = 0.0
    backoff = Backoff(clock=lambda: now)
    delays = [backoff.failed() for _ in range(4)]
    assert delays == [0.5, 1.0, 2.0, 4.0]
    assert backoff.failed() == 30.0
    assert bool(backoff.hopeless)
    now = 1000.0
    assert backoff.failed() == 30.0  # until one has succeeded
    backoff.succeeded()
    assert not backoff.hopeless
    assert backoff.failed() == 0.5


def test_failures_far_apart_are_each_the_first() -> None:
    now = 0.0
    backoff = Backoff(clock=lambda: now)
    for _ in range(20):
        assert backoff.failed() == 0.5
        now += 61.0
    assert not backoff.hopeless


def test_trouble_is_shown_and_ends_with_a_triton_that_starts(
    tritons: FakeTritons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_DELAY", 0.001)
    monkeypatch.setattr(module, "_RARELY", 0.01)
    tritons.failures = ["it does not fit"] * 7
    installed: list[Backend] = []
    events: list[tuple[str, str]] = []
    troubles: list[str] = []

    async def run() -> None:
        repair = Repair(
            start=lambda: tritons.start(tmp_path, niceness=0),
            install=installed.append,
            on_event=lambda kind, sentence: events.append((kind, sentence)),
            on_trouble=lambda: troubles.append(repair.trouble),
        )
        repair.begin("it died")
        repair.begin("it died again")  # one at a time
        while repair.running:
            await asyncio.sleep(0.01)
        await installed[0].stop()

    asyncio.run(run())
    assert len(installed) == 1
    assert troubles == ["it does not fit", ""]
    assert [kind for kind, _ in events] == ["repair_failed"] * 7 + ["repaired"]
    assert events[-1][1].endswith("the one before was given up: it died")


def test_a_triton_that_died_with_nothing_answered_counts_as_one_that_did_not_start(
    tritons: FakeTritons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_DELAY", 0.0)
    monkeypatch.setattr(module, "_RARELY", 3600.0)
    installed: list[Backend] = []

    async def run() -> None:
        repair = Repair(
            start=lambda: tritons.start(tmp_path, niceness=0),
            install=installed.append,
            on_event=lambda kind, sentence: None,
            on_trouble=lambda: None,
        )
        for _ in range(4):
            repair.begin("it died at once", unproved=True)
            while repair.running:
                await asyncio.sleep(0.001)
        repair.begin("it died at once", unproved=True)
        await asyncio.sleep(0.05)
        assert repair.running  # and waits, with the reason shown
        assert repair.trouble == "it died at once"
        await repair.cancel()
        assert not repair.trouble
        for backend in installed:
            await backend.stop()

    asyncio.run(run())
    assert len(installed) == 4
