"""PageServer: the page, and a REST door whose answers a test sets. It can go away and come back."""

import asyncio
import dataclasses
import json
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from deploy.gateway.rest.page_files import PageFiles
from deploy.gateway.rest.problems import Problem
from deploy.web.bundle.contents import BUNDLE
from deploy.web.site import Site
from tests.helpers.browser.answers import Content, answer, description

_SECONDS = 10.0  # for a server to start, to stop

_BLANK = '<!doctype html><title>blank</title><link rel="icon" href="data:,">'

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reply:
    """What an address answers."""

    content: Content
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that arrived."""

    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


def problem(status: int, detail: str, *, reason: str, **headers: str) -> Reply:
    """An error as the REST door writes it."""
    content = {"title": "Problem", "status": status, "detail": detail, "reason": reason}
    return Reply(content=content, status=status, headers=headers)


def usual_tasks(_asked: Asked) -> Reply:
    return Reply(content=description())


def one_face(_asked: Asked) -> Reply:
    return Reply(
        content=answer(), headers={"Server-Timing": "total;dur=12.5, queue;dur=0.25, triton;dur=9.0"}
    )


class PageServer:
    """On one port of 127.0.0.1, in a thread of its own.

    `tasks` and `analyze` say what is answered; `asked` is what came to the latter. After `hold` it waits.
    `go_away` ends the connections that are open, and none can be made until `come_back`.
    """

    def __init__(self, *, bundle: Path = BUNDLE) -> None:
        """`bundle`: the folder of the browser's network, which may be missing."""
        site = Site.read(bundle=bundle)
        self._files = PageFiles(lambda: site)
        self.tasks: Callable[[Asked], Reply] = usual_tasks
        self.analyze: Callable[[Asked], Reply] = one_face
        self.asked: list[Asked] = []
        self.arrived = threading.Event()  # set when an analysis has arrived
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self._held: asyncio.Event | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    @property
    def blank(self) -> str:
        """An empty document of the same origin, from which the page's modules can be imported one by one."""
        return f"{self.url}blank"

    def __enter__(self) -> Self:
        self._thread.start()
        self.come_back()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.go_away()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.close()

    def reset(self) -> None:
        """As it was at first, for the next test."""
        self.tasks = usual_tasks
        self.analyze = one_face
        self.asked.clear()
        self.release()
        if self._runner is None:
            self.come_back()

    def come_back(self) -> None:
        self._do(self._start())

    def go_away(self) -> None:
        self._do(self._stop())

    def hold(self) -> None:
        """Analyses wait from now on."""
        self.arrived.clear()
        self._do(self._hold(waits=True))

    def release(self) -> None:
        """Those that wait are answered."""
        self._do(self._hold(waits=False))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    async def _start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/", self._page)
        app.router.add_get("/blank", self._blank)
        app.router.add_get("/v1/tasks", self._tasks)
        app.router.add_post("/v1/analyze", self._analyze)
        app.router.add_get("/web/{path:.+}", self._page)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)  # 0 would wait for ever
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _hold(self, *, waits: bool) -> None:
        if self._held is not None:
            self._held.set()
        self._held = asyncio.Event() if waits else None

    async def _page(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._files(request)
        except Problem as missing:
            return missing.response()

    async def _blank(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(text=_BLANK, content_type="text/html")

    async def _tasks(self, request: web.Request) -> web.StreamResponse:
        return _response(self.tasks(Asked(query=dict(request.query), headers=dict(request.headers))))

    async def _analyze(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(query=dict(request.query), headers=dict(request.headers), body=await request.read())
        self.asked.append(asked)
        held = self._held
        self.arrived.set()
        if held is not None:
            await held.wait()
        return _response(self.analyze(asked))


def _response(reply: Reply) -> web.Response:
    kind = "application/json" if reply.status < 400 else "application/problem+json"
    headers = {"Cache-Control": "no-store", "Content-Type": kind, **reply.headers}
    return web.Response(body=json.dumps(reply.content).encode(), status=reply.status, headers=headers)
