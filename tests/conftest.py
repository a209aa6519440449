"""Fixtures for all tests, and what every test may rely on."""

import signal
from collections.abc import Iterator

import pytest

from deploy.embedded import EmbeddedServer
from tests.helpers.paths import ROOT


def pytest_configure() -> None:
    """Signals mean what they mean in a terminal, for the tests and for every program that they start.

    A shell that starts the suite in the background ignores SIGINT, and children inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # xdist's own looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, a file's tests share one, and so do all tests of what a session makes once."""
    for item in items:
        used = getattr(item, "fixturenames", ())
        shared = next((name for name in ("server", "checkpoint") if name in used), None)
        item.add_marker(pytest.mark.xdist_group(shared or str(item.path)))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The real server over the assembled repository, on free ports; `server.grpc_address` is what to call.

    It starts with the first test that uses it. Where it can't start, those tests fail with the
    launcher's sentence.
    """
    log = tmp_path_factory.mktemp("server") / "server.log"
    with log.open("w") as sink, EmbeddedServer(ROOT / "var" / "test" / "repository", log=sink) as running:
        yield running
