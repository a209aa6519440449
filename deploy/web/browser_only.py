"""The page and the browser's network alone, without a Triton: photos are analysed in the browser.

The page's files are read again when one of them has changed: who works on it reloads and sees it.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NoReturn

from aiohttp import web

from deploy.gateway.front.replies import own_failure
from deploy.gateway.listener import Listener, bound_sockets
from deploy.gateway.rest.connections import Connections
from deploy.gateway.rest.page_files import PageFiles
from deploy.gateway.rest.problems import Problem, no_such_place
from deploy.gateway.rest.routes import Routes
from deploy.web.bundle.contents import BUNDLE, MANIFEST
from deploy.web.site import PAGE, Site

_MOST = 256  # requests at a time
_BACKLOG = 128


class LiveSite:
    """The page as its files are now. For one event loop."""

    def __init__(self, *, page: Path, bundle: Path) -> None:
        """OSError where the page can't be read."""
        self._page, self._bundle = page, bundle
        self._state = self._look()
        self._site = Site.read(page, bundle=bundle)

    def __call__(self) -> Site:
        with contextlib.suppress(OSError):  # being written: what was there before serves on
            if (state := self._look()) != self._state:
                self._site, self._state = Site.read(self._page, bundle=self._bundle), state
        return self._site

    def _look(self) -> list[tuple[str, int, int]]:
        """What changes with a file: its path, its time of change, its size."""
        manifest = self._bundle / MANIFEST
        paths = [*self._page.rglob("*"), *([manifest] if manifest.is_file() else [])]
        states = ((path, path.lstat()) for path in paths)
        return sorted((str(path), state.st_mtime_ns, state.st_size) for path, state in states)


@contextlib.asynccontextmanager
async def serving(
    *, host: str, port: int, page: Path = PAGE, bundle: Path = BUNDLE, log: Callable[[str], None]
) -> AsyncIterator[int]:
    """Serves while the context is open; the port, a free one for 0. OSError where it is taken."""
    site = LiveSite(page=page, bundle=bundle)
    files = PageFiles(site)
    server = {"GET": _no_server, "POST": _no_server}
    routes = Routes(files.places, below={**files.below, "/v1/": server})

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await routes.answer(request)
        except Problem as problem:
            return problem.response()
        except Exception as error:
            return Problem(own_failure(error, doing="on a request for the page")).response()

    sockets = await bound_sockets(host, port)
    bound: int = sockets[0].getsockname()[1]
    connections = Connections(handle, most=_MOST)
    listener = Listener(sockets, connections, name="the page's port", backlog=_BACKLOG, log=log)
    try:
        if site().without_bundle:
            log(f"the page is served without a network for the browser: {site().without_bundle}")
        yield bound
    finally:
        listener.close()
        connections.end_all()


async def serve(*, host: str, port: int, log: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM. OSError where the port is taken."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serving(host=host, port=port, log=log) as bound:
        log(f"the page: http://{host}:{bound}/")
        await stopped.wait()


async def _no_server(request: web.BaseRequest) -> NoReturn:
    raise Problem(no_such_place("no server is here, as this is --browser-only: analyse in the browser"))
