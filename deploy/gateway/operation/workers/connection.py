"""Connection: messages over a stream socket, those of one turn of the event loop in one write."""

import asyncio
import socket
from collections.abc import Callable

from deploy.gateway.operation.workers.messages import Decoder, Message, encode


class Connection(asyncio.Protocol):
    """One end. `received` gets each message, `lost` is called once, when the other end is gone.

    An exception of `received` ends the connection: the two ends no longer mean the same.
    """

    def __init__(self, *, received: Callable[[Message], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def over(
        cls, end: socket.socket, *, received: Callable[[Message], None], lost: Callable[[], None]
    ) -> "Connection":
        """Over a connected socket, which it then owns."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(lambda: cls(received=received, lost=lost), sock=end)
        return connection

    def send(self, message: Message) -> None:
        """Goes out in this turn of the event loop; dropped once the other end is gone."""
        if self._transport is None or self._transport.is_closing():
            return
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(encode(message))

    def close(self) -> None:
        """Sends what waits, and ends the connection."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        if self._waiting and self._transport is not None:
            self._transport.write(b"".join(self._waiting))
        self._waiting.clear()

    # -- of asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._decoder.feed(data):
                self._received(message)
        except Exception:
            if self._transport is not None:
                self._transport.abort()
            raise

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._waiting.clear()
        self._lost()
