"""`analyze_many` of the asyncio client: bounds, order, errors, and how it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from qface_client import AsyncFaceClient, InvalidInput, ServerBusy, ServerError, UnknownTask
from qface_client.transports import Infer, ModelInfo, ReadModel, Reply
from tests.helpers.planted_transport import Planted, first_byte


class AsyncPlanted:
    """Planted, for asyncio: `wait` is awaited before each answer."""

    def __init__(self, wait: Callable[[Infer], Awaitable[None]] | None = None) -> None:
        self.blocking = Planted()
        self.under_way = self.most_under_way = 0
        self._wait = wait

    async def read_model(self, step: ReadModel) -> ModelInfo:
        return self.blocking.read_model(step)

    async def infer(self, step: Infer) -> Reply:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0)
            if self._wait is not None:
                await self._wait(step)
            return self.blocking.infer(step)
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        self.blocking.close()


def photos(count: int, *, drawn: list[int] | None = None) -> Iterator[bytes]:
    for number in range(count):
        if drawn is not None:
            drawn.append(number)
        yield bytes([number % 256, 1])


async def awaited_photos(count: int, *, drawn: list[int], closed: list[bool]) -> AsyncIterator[bytes]:
    try:
        for number in range(count):
            drawn.append(number)
            await asyncio.sleep(0)
            yield bytes([number % 256, 1])
    finally:
        closed.append(True)


async def no_task_is_left() -> None:
    """But this one; a dropped iterator ends in the loop's next rounds."""
    for _ in range(50):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(("ordered", "bound"), [(False, 4), (True, 8)])
@pytest.mark.parametrize("awaited", [False, True])
def test_photos_are_drawn_as_there_is_room(awaited: bool, ordered: bool, bound: int) -> None:
    async def run() -> None:
        transport, drawn, closed = AsyncPlanted(), list[int](), list[bool]()
        source: Any = photos(60, drawn=drawn)
        if awaited:
            source = awaited_photos(60, drawn=drawn, closed=closed)
        seen: list[int] = []
        async with AsyncFaceClient(transport=transport) as client:
            async for result in client.analyze_many(source, concurrency=4, ordered=ordered):
                assert len(drawn) <= len(seen) + 1 + bound
                assert result.faces[0].box[0] == result.index
                seen.append(result.index)
                await asyncio.sleep(0.001)  # a consumer that takes its time
        assert (seen if ordered else sorted(seen)) == list(range(60))
        assert transport.most_under_way <= 4
        assert transport.blocking.reads == 1
        assert closed == [True] * awaited
        await no_task_is_left()

    asyncio.run(run())


def test_a_blocking_transport_works_in_threads() -> None:
    async def run() -> None:
        transport = Planted()
        async with AsyncFaceClient(transport=transport) as client:
            results = [result async for result in client.analyze_many(photos(30), concurrency=3)]
        assert len(results) == 30
        assert transport.most_under_way <= 3

    asyncio.run(run())


def test_errors_are_results_and_the_iterables_own_comes_last() -> None:
    async def broken() -> AsyncIterator[Any]:
        for number in range(4):
            yield bytes([number])
        yield 17
        raise LookupError("the disk is gone")

    async def wait(step: Infer) -> None:
        if first_byte(step) == 1:
            raise ServerError("it failed")

    async def run() -> None:
        async with AsyncFaceClient(transport=AsyncPlanted(wait)) as client:
            results = client.analyze_many(broken(), ordered=True)
            seen = [(await anext(results)).error for _ in range(5)]
            with pytest.raises(LookupError, match="the disk is gone"):
                await anext(results)
        assert [error and type(error) for error in seen] == [None, ServerError, None, None, InvalidInput]
        await no_task_is_left()

    asyncio.run(run())


def test_what_all_photos_would_meet_is_raised_before_one_is_drawn() -> None:
    async def run() -> None:
        drawn = list[int]()
        async with AsyncFaceClient(transport=AsyncPlanted()) as client:
            with pytest.raises(UnknownTask):
                await anext(client.analyze_many(photos(5, drawn=drawn), tasks="age"))
            with pytest.raises(InvalidInput, match="not one photo"):
                client.analyze_many("photo.jpg")
        assert drawn == []

    asyncio.run(run())


@pytest.mark.parametrize("closing", [False, True])
def test_who_stops_early_leaves_nothing(closing: bool) -> None:
    async def run() -> None:
        transport, drawn, closed = AsyncPlanted(), list[int](), list[bool]()
        async with AsyncFaceClient(transport=transport) as client:
            source = awaited_photos(1000, drawn=drawn, closed=closed)
            if closing:
                async with contextlib.aclosing(client.analyze_many(source, concurrency=4)) as results:
                    async for result in results:
                        if result.index >= 10:
                            break
                assert closed == [True]
                assert asyncio.all_tasks() == {asyncio.current_task()}
            else:
                async for result in client.analyze_many(source, concurrency=4):
                    if result.index >= 10:
                        break
            await no_task_is_left()
            assert closed == [True]
            assert transport.under_way == 0
            assert len(drawn) < 30

    asyncio.run(run())


def test_a_cancelled_consumer_cancels_its_calls() -> None:
    async def wait(step: Infer) -> None:
        if first_byte(step):
            raise ServerBusy("not now", retry_after=1800.0)
        await asyncio.sleep(3600)

    async def run() -> None:
        transport = AsyncPlanted(wait)
        async with AsyncFaceClient(transport=transport, timeout=7200) as client:

            async def consume() -> None:
                async for _ in client.analyze_many(photos(100), concurrency=4):
                    pass

            consumer = asyncio.create_task(consume())
            while not transport.under_way:
                await asyncio.sleep(0)
            consumer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await consumer
            await no_task_is_left()
            assert transport.under_way == 0

    asyncio.run(run())


def test_the_client_may_be_closed_in_the_middle() -> None:
    async def run() -> None:
        client = AsyncFaceClient(transport=AsyncPlanted())
        results = client.analyze_many(photos(100), concurrency=4)
        await anext(results)
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            _ = [result async for result in results]
        await no_task_is_left()

    asyncio.run(run())


def test_an_iterable_that_waits_holds_up_no_result() -> None:
    async def run() -> None:
        seen = asyncio.Event()

        async def live() -> AsyncIterator[bytes]:
            yield b"\x01"
            await seen.wait()
            yield b"\x02"

        async with AsyncFaceClient(transport=AsyncPlanted()) as client:
            results = client.analyze_many(live())
            assert (await asyncio.wait_for(anext(results), 10)).index == 0
            seen.set()
            assert (await asyncio.wait_for(anext(results), 10)).index == 1

    asyncio.run(run())
