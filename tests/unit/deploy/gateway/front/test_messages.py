"""Reading requests: who waits for longest makes room, whatever else happens to it."""

import asyncio
import time

import grpc
import pytest

from deploy.gateway.front.memory import MemoryWatch
from deploy.gateway.front.messages import MessageReader
from deploy.gateway.refusals import Refusal


class Call:
    """A call whose request is this message, or never comes."""

    def __init__(self, message: bytes | None) -> None:
        self._message = message

    async def read(self) -> bytes:
        if self._message is None:
            await asyncio.sleep(60)
        assert self._message is not None
        return self._message


def test_one_that_has_just_run_out_of_time_makes_room_too() -> None:
    async def run() -> None:
        reader = MessageReader(unread=1, seconds=0.05)
        go_on = asyncio.Event()

        async def second() -> bytes:
            await go_on.wait()
            return await reader.read(Call(b"request"))

        late, later = asyncio.create_task(reader.read(Call(None))), asyncio.create_task(second())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.02, go_on.set)
        time.sleep(0.1)  # both come due in one turn of the loop, the second call first
        assert await later == b"request"
        with pytest.raises(Refusal, match="did not arrive"):
            await late

    asyncio.run(run())


def test_while_memory_is_short_the_calls_that_have_sent_for_longest_end() -> None:
    async def run() -> None:
        resident, trimmed, logged = [100], [], list[str]()

        def trim() -> None:
            trimmed.append(resident[0])

        memory = MemoryWatch(bound=100, log=logged.append, resident=lambda: resident[0], trim=trim)
        reader = MessageReader(unread=10, seconds=60, memory=memory)
        calls = []
        for _ in range(4):
            calls.append(asyncio.create_task(reader.read(Call(None))))
            await asyncio.sleep(0)
        await asyncio.sleep(0.3)
        assert not trimmed
        assert reader.waiting == 4
        resident[0] = 101
        while reader.waiting > 2:
            await asyncio.sleep(0.01)
        resident[0] = 100
        done, left = await asyncio.wait(calls, timeout=0.3)
        assert done == set(calls[:2])
        assert left == set(calls[2:])
        for call in done:
            error = call.exception()
            assert isinstance(error, Refusal)
            assert (error.reason, error.code) == ("memory", grpc.StatusCode.RESOURCE_EXHAUSTED)
            assert error.retry_after
        assert "101 bytes" in "".join(logged)
        resident[0] = 101  # the rest ends too, and one that arrives at once is read all the same
        await asyncio.gather(*left, return_exceptions=True)
        assert await reader.read(Call(b"request")) == b"request"
        assert len(logged) == 1

    asyncio.run(run())


def test_memory_that_is_only_not_given_back_ends_nothing() -> None:
    async def run() -> None:
        resident = [101]
        trimmed = asyncio.Event()

        def trim() -> None:
            resident[0] = 100
            trimmed.set()

        memory = MemoryWatch(bound=100, log=lambda _: None, resident=lambda: resident[0], trim=trim)
        reader = MessageReader(unread=10, seconds=60, memory=memory)
        call = asyncio.create_task(reader.read(Call(None)))
        await trimmed.wait()
        await asyncio.sleep(0.3)
        assert reader.waiting == 1
        call.cancel()

    asyncio.run(run())
