"""Pages: the gateway's HTTP port, for operators and their probes: metrics and health.

    GET /metrics                 Prometheus' text format
    GET /v2/health/live          200 while this process runs
    GET /v2/health/ready         200, or 503 with the reasons
    GET /v2/models/NAME/ready    the same for one model; 404 where it is not served

There is no inference here, no picture and no key, and nothing asks for a key either: whoever reaches this
port reads load and the names of models and keys. Off loopback it belongs into the operators' network.

A connection lives for some seconds and there are few at once (a new one ends the oldest), so that clients
which send slowly, read slowly or never end can't collect or keep a probe out; and who asks for metrics all
the time gets pages again, for at most a second.
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.listener import Listener, bound_sockets
from deploy.gateway.observability.metrics import CONTENT_TYPE

CONNECTION_SECONDS = 10.0
MOST_CONNECTIONS = 64
# A page of metrics is given again until making pages takes no more than this share of the time.
PAGES_SHARE = 1 / 5
LONGEST_PAGE_SECONDS = 1.0
_MOST_HEADER_BYTES = 4096
_PLACES = "/metrics, /v2/health/live, /v2/health/ready and /v2/models/NAME/ready"
_HEADERS = {"Connection": "close", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Pages:
    """The HTTP server.

    metrics  gives the page of metrics
    health   whether the service (None) or a model answers, and in a sentence why not
    served   the models of the Triton that gets new work, None while none is ready
    log      gets a sentence while no connection can be accepted
    """

    def __init__(
        self,
        *,
        metrics: Callable[[], Awaitable[bytes]],
        health: Callable[[str | None], tuple[bool, str]],
        served: Callable[[], ServedModels | None],
        log: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._log = log
        self._metrics = metrics
        self._health = health
        self._served = served
        self._page = b""
        self._page_ends = -math.inf
        self._making = asyncio.Lock()
        self._runner: web.AppRunner | None = None
        self._listener: Listener | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port (0 in the request: any free one). OSError where it can't."""
        app = web.Application()
        app.router.add_get("/metrics", self._get_metrics)
        app.router.add_get("/v2/health/live", self._get_live)
        app.router.add_get("/v2/health/ready", self._get_ready)
        app.router.add_get("/v2/models/{model}/ready", self._get_model_ready)
        app.router.add_route("*", "/{anything:.*}", _not_found)
        logger = logging.getLogger("qface.gateway.pages")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False  # a malformed request is not worth a traceback
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=logger,
            handle_signals=False,
            lingering_time=0.0,
            max_line_size=_MOST_HEADER_BYTES,
            max_field_size=_MOST_HEADER_BYTES,
        )
        await self._runner.setup()
        try:
            sockets = await bound_sockets(host, port)
        except OSError:
            await self._runner.cleanup()
            raise
        bound: int = sockets[0].getsockname()[1]
        self._listener = Listener(
            sockets, self._connection, name="the HTTP port", backlog=MOST_CONNECTIONS, log=self._log
        )
        return bound

    async def stop(self) -> None:
        """Stops listening and ends the connections."""
        if self._listener is not None:
            self._listener.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._listener = self._runner = None

    def _connection(self) -> asyncio.Protocol:
        """What serves one connection, for a bounded time."""
        server = self._runner.server if self._runner is not None else None
        if server is None:
            return _Stopped()
        open_ones = [
            each for each in server.connections if each.transport and not each.transport.is_closing()
        ]
        for oldest in open_ones[: max(0, len(open_ones) + 1 - MOST_CONNECTIONS)]:
            _end(oldest)  # idle ones must not keep a probe out
        handler = server()
        asyncio.get_running_loop().call_later(CONNECTION_SECONDS, _end, handler)
        return handler

    async def _get_metrics(self, _request: web.Request) -> web.Response:
        async with self._making:
            if (began := time.monotonic()) > self._page_ends:
                self._page = await self._metrics()
                now = time.monotonic()
                self._page_ends = now + min((now - began) / PAGES_SHARE, LONGEST_PAGE_SECONDS)
        return web.Response(body=self._page, headers={**_HEADERS, "Content-Type": CONTENT_TYPE})

    async def _get_live(self, _request: web.Request) -> web.Response:
        return _answer({"live": True}, status=200)

    async def _get_ready(self, _request: web.Request) -> web.Response:
        return _state(*self._health(None))

    async def _get_model_ready(self, request: web.Request) -> web.Response:
        model = request.match_info["model"]
        served = self._served()
        if served is not None and model not in served.configs:
            return _answer({"ready": False, "reasons": ["no such model is served"]}, status=404)
        return _state(*self._health(model))


class _Stopped(asyncio.Protocol):
    """Ends a connection that came while the server stopped."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def _end(handler: web.RequestHandler) -> None:
    if isinstance(handler.transport, asyncio.Transport):
        handler.transport.abort()


async def _not_found(_request: web.Request) -> web.Response:
    return _answer({"error": f"nothing is here; GET serves {_PLACES}"}, status=404)


def _state(ready: bool, reason: str) -> web.Response:
    content: dict[str, object] = {"ready": ready}
    if not ready:
        content["reasons"] = [reason]
    return _answer(content, status=200 if ready else 503)


def _answer(content: dict[str, object], *, status: int) -> web.Response:
    text = json.dumps(content) + "\n"
    return web.Response(text=text, status=status, content_type="application/json", headers=_HEADERS)
