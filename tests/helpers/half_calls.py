"""Clients that no library would make: calls whose answers are not read, requests that are never finished."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

from deploy.benchmark.load.http2 import PREFACE, call, frame
from deploy.gateway.front.methods import SERVICE

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
_END_STREAM, _ACK = 1, 1
_INITIAL_WINDOW_SIZE = 4
_PART = 16_384  # bytes of a frame's payload at most
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


@contextlib.asynccontextmanager
async def half_sent(address: str, method: str, size: int, sent: int) -> AsyncIterator["asyncio.Future[None]"]:
    """A call whose message has `size` bytes, of which `sent` are sent; done when the server has ended it.

    Keeps to the server's windows, as it would be cut off otherwise.
    """
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    windows = _Windows()
    following = asyncio.ensure_future(windows.follow(reader, writer))
    head = call(b"", authority=address, method=f"/{SERVICE}/{method}")
    (headers,) = struct.unpack(">I", b"\0" + head[len(PREFACE) + _HEAD :][:3])
    writer.write(head[: len(PREFACE) + 2 * _HEAD + headers])

    async def send() -> None:
        await windows.take(5)
        writer.write(frame(_DATA, 0, 1, b"\0" + struct.pack(">I", size)))
        left = sent
        while left:
            part = await windows.take(min(left, _PART))
            writer.write(frame(_DATA, 0, 1, bytes(part)))
            await writer.drain()
            left -= part

    sending = asyncio.ensure_future(send())
    try:
        yield following
    finally:
        for task in (sending, following):
            task.cancel()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class _Windows:
    """What may be sent on a connection with one stream."""

    def __init__(self) -> None:
        self._initial = self._connection = self._stream = 65_535
        self._changed = asyncio.Event()

    async def take(self, wanted: int) -> int:
        """As many of the wanted bytes as may be sent now, at least one."""
        while min(self._connection, self._stream) <= 0:
            self._changed.clear()
            await self._changed.wait()
        taken = min(wanted, self._connection, self._stream)
        self._connection -= taken
        self._stream -= taken
        return taken

    async def follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Returns when the server has ended the stream or the connection."""
        while True:
            try:
                head = await reader.readexactly(_HEAD)
                payload = await reader.readexactly(int.from_bytes(head[:3]))
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
            if kind == _SETTINGS and not flags & _ACK:
                for start in range(0, len(payload), 6):
                    name, value = struct.unpack_from(">HI", payload, start)
                    if name == _INITIAL_WINDOW_SIZE:
                        self._stream += value - self._initial
                        self._initial = value
                writer.write(frame(_SETTINGS, _ACK, 0))
            elif kind == _PING and not flags & _ACK:
                writer.write(frame(_PING, _ACK, 0, payload))
            elif kind == _WINDOW_UPDATE:
                if stream:
                    self._stream += int.from_bytes(payload)
                else:
                    self._connection += int.from_bytes(payload)
            elif stream and (kind == _RST_STREAM or (flags & _END_STREAM and kind == _HEADERS)):
                return
            self._changed.set()
