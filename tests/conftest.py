"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest

from deploy.embedded import EmbeddedServer
from tests.helpers.paths import ROOT


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The real server over the assembled repository, on free ports; `server.grpc_address` is what to call.

    It starts with the first test that asks for it. Where it can't start, those tests fail with the
    launcher's sentence.
    """
    log = tmp_path_factory.mktemp("server") / "server.log"
    with log.open("w") as sink, EmbeddedServer(ROOT / "var" / "test" / "repository", log=sink) as running:
        yield running
