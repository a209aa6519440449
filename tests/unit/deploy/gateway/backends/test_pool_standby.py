"""A standby takes over at once, and is started where it is in nobody's way."""

import asyncio
import signal
from pathlib import Path

import pytest

from deploy.gateway.backends import repair as repairs
from deploy.gateway.backends import standby
from tests.helpers.fake_tritons import FakeTritons
from tests.helpers.watched_pool import Watched, run

MODEL, TRITON = 1, 0


def test_a_standby_takes_over_at_once_and_another_is_started(tritons: FakeTritons, tmp_path: Path) -> None:
    async def test(watched: Watched) -> None:
        await watched.until(lambda: watched.pool.standby_ready)
        tritons.signal(1, MODEL, signal.SIGKILL)
        await watched.whole(2)
        assert watched.kinds()[:3] == ["standby_ready", "sick", "repaired"]
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
