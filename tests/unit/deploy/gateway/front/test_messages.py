"""Reading requests: who waits for longest makes room, whatever else happens to it."""

import asyncio
import time

import pytest

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
