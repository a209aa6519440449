"""Reading a call's one message, as the bytes that it is."""

import asyncio
from typing import Any

import grpc

from deploy.gateway.refusals import Refusal, invalid

READ_SECONDS = 60.0  # for a request to arrive, so that calls without one do not pile up


async def read_message(context: Any) -> bytes:
    """The serialised request of a call; Refusal where none comes."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            data = await context.read()
    except TimeoutError:
        raise Refusal(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"the request did not arrive within {READ_SECONDS:g} seconds: send it at once, or a smaller one",
            reason="slow",
        ) from None
    if data is grpc.aio.EOF:
        raise invalid("the call has no request: send one message")
    assert isinstance(data, bytes)
    return data
