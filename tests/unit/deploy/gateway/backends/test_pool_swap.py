"""Another repository takes over, or changes nothing; what the old one has is answered."""

import asyncio
import signal
from pathlib import Path

import pytest

from deploy.embedded import CannotStart, Crashed, RepositoryNotFound
from tests.helpers.fake_tritons import FakeTritons
from tests.helpers.watched_pool import Watched, run

MODEL, TRITON = 1, 0


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


@pytest.mark.parametrize(("crashes", "swapped"), [(1, True), (2, False)])
def test_a_start_that_crashes_is_tried_once_more(
    tritons: FakeTritons, tmp_path: Path, crashes: int, swapped: bool
) -> None:
    async def test(watched: Watched) -> None:
        tritons.crashes = crashes
        if swapped:
            await watched.pool.swap(tmp_path / "two")
        else:
            with pytest.raises(Crashed):
                await watched.pool.swap(tmp_path / "two")
        assert watched.pool.repository == tmp_path / ("two" if swapped else "one")
        assert len(tritons.starts) == 3
        assert watched.kinds() == ["swapped" if swapped else "swap_failed"]

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
