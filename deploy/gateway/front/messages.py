"""Reading a call's one message, as the bytes that it is."""

import asyncio
from typing import Any

import grpc

from deploy.gateway.refusals import Refusal, invalid


class MessageReader:
    """Reads requests, and ends calls whose request does not come, so that they do not pile up.

    unread   calls that may wait for their request at a time: where there are more, the oldest one ends
    seconds  for a request to arrive
    """

    def __init__(self, *, unread: int, seconds: float) -> None:
        self._unread = unread
        self._seconds = seconds
        self._waiting: dict[asyncio.Timeout, None] = {}  # in the order in which they came
        self._ended: set[asyncio.Timeout] = set()  # to make room

    async def read(self, context: Any) -> bytes:
        """The serialised request of a call; Refusal where none comes."""
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                if len(self._waiting) >= self._unread:
                    self._end_oldest()
                self._waiting[limit] = None
                try:
                    data = await context.read()
                finally:
                    self._waiting.pop(limit, None)
        except TimeoutError:
            raise _crowded() if limit in self._ended else _late(self._seconds) from None
        finally:
            self._ended.discard(limit)
        if data is grpc.aio.EOF:
            raise invalid("the call has no request: send one message")
        assert isinstance(data, bytes)
        return data

    def _end_oldest(self) -> None:
        oldest = next(iter(self._waiting))
        del self._waiting[oldest]
        if not oldest.expired():  # else it ends already
            self._ended.add(oldest)
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
