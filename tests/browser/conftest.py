"""Real browsers for the page's tests: Debian's Chromium, without a window, driven by Playwright.

Browser and driver live as long as this folder's tests (scope "package"), not the session: Playwright's
synchronous interface keeps an event loop running in this thread, in which later tests could start none.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    ViewportSize,
    expect,
    sync_playwright,
)

from build.errors import BuildError
from deploy.gateway.operation.service import GatewayServer
from deploy.web.bundle.contents import BUNDLE
from deploy.web.bundle.make import make_bundle
from tests.helpers.browser.page_server import PageServer
from tests.helpers.browser.pictures import Pictures, make_pictures
from tests.helpers.browser.watch import Watch
from tests.helpers.paths import ROOT
from tests.helpers.tools import REQUIRED, require_tool

# Root in a container has no user namespaces for Chromium's sandbox. The camera is a made picture of its own.
ARGUMENTS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--force-color-profile=srgb")
DESK = ViewportSize(width=1280, height=900)
PATIENCE = 20_000.0  # ms until a locator's expectation fails: two busy cores are slow, not wrong


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="package")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """One browser for all tests; each has a context of its own: no cookie, no cache, no permission."""
    program = require_tool("chromium")
    browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture
def watch() -> Watch:
    """What `page` does beside what it shows. A test that makes errors announces them here."""
    return Watch()


@pytest.fixture
def context(chromium: Browser, watch: Watch) -> Iterator[BrowserContext]:
    """A visitor's browser: 1280 x 900, light, still (reduced motion), allowed to write the clipboard."""
    context = chromium.new_context(viewport=DESK, color_scheme="light", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    watch.attach(context)
    try:
        yield context
    finally:
        context.close()


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Iterator[Page]:
    """An empty page. The test fails where it leaves errors in the console, or asks more than one origin."""
    yield context.new_page()
    assert watch.findings() == []


@pytest.fixture(scope="session")
def web_server(server: GatewayServer) -> str:
    """Where the page is on the real server: its address, which ends in a slash."""
    return f"http://{server.rest_address}/"


@pytest.fixture(scope="session")
def bundle() -> Path:
    """var/web/bundle: made where it is not there or not of these sources, which takes the npm registry."""
    try:
        make_bundle(BUNDLE, log=print)
    except BuildError as error:
        if os.environ.get(REQUIRED):
            raise
        pytest.skip(f"there is no network for the browser: {error}")
    return BUNDLE


@pytest.fixture(scope="package")
def pages_only(bundle: Path) -> Iterator[str]:
    """Where `python -m deploy.web --browser-only` serves: the page and the browser's network, no answers."""
    command = (sys.executable, "-m", "deploy.web", "--browser-only", "--port", "0")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = (line.removeprefix("the page: ") for line in process.stdout if "the page: " in line)
            yield next(lines).strip()
        finally:
            process.terminate()
            process.stdout.read()  # until it has ended: a pipe that nobody reads could hold it


@pytest.fixture(scope="package")
def _page_server() -> Iterator[PageServer]:
    with PageServer() as running:
        yield running


@pytest.fixture
def stand_in(_page_server: PageServer) -> PageServer:
    """The page on a server whose answers the test sets; `stand_in.url` is where it is."""
    _page_server.reset()
    return _page_server


@pytest.fixture(scope="package")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """Files to drop."""
    return make_pictures(tmp_path_factory.mktemp("pictures"))
