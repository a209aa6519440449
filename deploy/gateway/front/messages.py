"""Reading a call's one message, as the bytes that it is."""

import asyncio
from typing import Any

import grpc

from deploy.gateway.front.memory import MemoryWatch
from deploy.gateway.refusals import Refusal, invalid


class MessageReader:
    """Reads requests, and ends calls whose request does not come, so that they do not pile up.

    unread   calls that may wait for their request at a time: where there are more, the oldest one ends
    seconds  for a request to arrive
    memory   ends calls of this reader while memory is short; None: nobody does
    """

    def __init__(self, *, unread: int, seconds: float, memory: MemoryWatch | None = None) -> None:
        self._unread = unread
        self._seconds = seconds
        self._memory = memory
        if memory is not None:
            memory.add(self)
        self._waiting: dict[asyncio.Timeout, None] = {}  # in the order in which they came
        self._ended: dict[asyncio.Timeout, Refusal] = {}  # for others

    @property
    def waiting(self) -> int:
        """Calls whose requests have not arrived yet."""
        return len(self._waiting)

    def end_older_half(self) -> int:
        """Ends the older half of them, at least one if there is any; returns how many."""
        count = (len(self._waiting) + 1) // 2
        for _ in range(count):
            self._end_oldest(_short_of_memory())
        return count

    async def read(self, context: Any) -> bytes:
        """The serialised request of a call; Refusal where none comes."""
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                if len(self._waiting) >= self._unread:
                    self._end_oldest(_crowded())
                self._waiting[limit] = None
                if self._memory is not None:
                    self._memory.reading()
                try:
                    data = await context.read()
                finally:
                    self._waiting.pop(limit, None)
        except TimeoutError:
            raise self._ended.get(limit) or _late(self._seconds) from None
        finally:
            self._ended.pop(limit, None)
        if data is grpc.aio.EOF:
            raise invalid("the call has no request: send one message")
        assert isinstance(data, bytes)
        return data

    def _end_oldest(self, refusal: Refusal) -> None:
        oldest = next(iter(self._waiting))
        del self._waiting[oldest]
        if not oldest.expired():  # else it ends already
            self._ended[oldest] = refusal
            oldest.reschedule(asyncio.get_running_loop().time())


def _late(seconds: float) -> Refusal:
    return Refusal(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        f"the request did not arrive within {seconds:g} seconds: send it at once, or a smaller one",
        reason="slow",
    )


def _crowded() -> Refusal:
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "too many calls wait for their requests to arrive, this one for longest: send it again",
        reason="slow",
        retry_after=1.0,
    )


def _short_of_memory() -> Refusal:
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "requests that are still arriving take too much memory, and this one has been arriving for longest: "
        "send it again",
        reason="memory",
        retry_after=1.0,
    )
