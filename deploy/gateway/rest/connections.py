"""Connections: HTTP connections, few enough, that end where a client sends or reads nothing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import HttpVersion, HttpVersion10, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from deploy.gateway.refusals import invalid
from deploy.gateway.rest.problems import Problem

KEEPALIVE_SECONDS = 15.0  # for a request's headers to arrive, and between two requests
ANSWER_SECONDS = 60.0  # for a client to read its answer, and what its size takes more:
SLOWEST_BYTES = 32_000.0  # a second, of a client that reads the page's larger files
_LINGER_SECONDS = 5.0  # for what still arrives of a body that nobody reads; else its answer would be lost
_HEADER_BYTES = 8192  # of one header, of the first line
_HEADERS = 64
_SPARE = 256  # connections beyond the calls at a time, so that what is too much is refused in words

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connections:
    """Makes what serves a connection, for asyncio's `create_server`. For one event loop.

    handler  answers a request, errors included
    most     calls at a time
    """

    def __init__(self, handler: Handler, *, most: int) -> None:
        self._most = most + _SPARE
        self._server = web.Server(self._handle, request_factory=_request, handler_cancellation=True)
        self._handler = handler
        self._open: dict[Connection, None] = {}  # the longest without a request first
        self._log = logging.getLogger("qface.gateway.rest")
        self._log.addHandler(logging.NullHandler())
        self._log.propagate = False  # a malformed request is not worth a traceback

    def __call__(self) -> "Connection":
        return Connection(
            self._server,
            keeper=self,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            logger=self._log,
            access_log=None,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
            max_headers=_HEADERS,
            auto_decompress=False,
        )

    def opened(self, connection: "Connection") -> None:
        """One that is too much ends the one that has been idle for longest, or itself."""
        self._open[connection] = None
        if len(self._open) > self._most:
            idle = next((each for each in self._open if each.idle), connection)
            del self._open[idle]  # now, as its end is reported later: of a burst each ends another one
            idle.end()

    def closed(self, connection: "Connection") -> None:
        self._open.pop(connection, None)

    def end_all(self) -> None:
        for connection in tuple(self._open):
            connection.end()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.begin()
        length = 0
        try:
            if not isinstance(request, _Request) or not request.is_understood:
                return _unreadable()
            response = await self._handler(request)
            length = response.content_length or 0
            return response
        finally:
            connection.answered(length)
            if self._open.pop(connection, self) is None:
                self._open[connection] = None  # at the end of the line


class _Request(web.BaseRequest):
    """One that is answered in a version of HTTP that is spoken here, whatever version it names itself."""

    @property
    def is_understood(self) -> bool:
        return self._message.version in (HttpVersion10, HttpVersion11)

    @property
    def version(self) -> HttpVersion:
        return self._message.version if self.is_understood else HttpVersion11


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    return _Request(message, payload, protocol, writer, task, asyncio.get_running_loop())


def _unreadable() -> web.Response:
    response = Problem(
        invalid("the request is no HTTP/1.1 that can be read, or its headers are too large: mend it")
    ).response()
    response.force_close()
    return response


class Connection(web.RequestHandler):
    """One connection."""

    def __init__(self, manager: web.Server, *, keeper: Connections, **settings: object) -> None:
        super().__init__(manager, **settings)  # type: ignore[arg-type]
        self._keeper = keeper
        self._busy = False
        self._unread: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """It has no request, and its client has its answer."""
        transport = self.transport
        return not (
            self._busy
            or (isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size() > 0)
        )

    def begin(self) -> None:
        self._busy = True
        self._forget_timer()

    def answered(self, length: int) -> None:
        """`length`: bytes of the answer, which is now sent."""
        self._busy = False
        self._forget_timer()
        seconds = ANSWER_SECONDS + length / SLOWEST_BYTES
        self._unread = asyncio.get_running_loop().call_later(seconds, self._end_unread)

    def end(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    def _end_unread(self) -> None:
        if not self.idle:
            self.end()

    def _forget_timer(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    # -- of aiohttp ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._keeper.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_timer()
        self._keeper.closed(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP that can be read; the connection ends."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        return _unreadable()
