"""Clients that no library would make: calls whose answers are not read, requests that are never finished."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

from deploy.benchmark.load.http2 import PREFACE, call, frame
from deploy.gateway.front.methods import SERVICE

_SETTINGS, _INITIAL_WINDOW_SIZE = 4, 4
_HEAD = 9  # bytes of a frame before its payload


class Connection:
    """One to a server, which takes what comes and does nothing with it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._reading = asyncio.ensure_future(reader.read())

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def ended(self) -> None:
        """Returns once the server has ended it."""
        with contextlib.suppress(ConnectionError):
            await self._reading

    async def close(self) -> None:
        self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def calls_that_read_no_answer(address: str, method: str, count: int) -> AsyncIterator[Connection]:
    """So many finished calls on one connection, whose window has no room for a byte of an answer."""
    window = frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, 0))
    streams = b"".join(_on_stream(2 * number + 1, address, method) for number in range(count))
    host, _, port = address.rpartition(":")
    connection = Connection(*await asyncio.open_connection(host, int(port)))
    try:
        await connection.send(PREFACE + window + streams)
        yield connection
    finally:
        await connection.close()


def _on_stream(stream: int, address: str, method: str) -> bytes:
    """A call without a message's content, on a stream of this number."""
    sent = call(b"", authority=address, method=f"/{SERVICE}/{method}")[len(PREFACE) + _HEAD :]
    frames, position = b"", 0
    while position < len(sent):
        (size,) = struct.unpack(">I", b"\0" + sent[position : position + 3])
        kind, flags = sent[position + 3], sent[position + 4]
        frames += frame(kind, flags, stream, sent[position + _HEAD : position + _HEAD + size])
        position += _HEAD + size
    return frames
