"""A server of one task that tests of the client can turn against it."""

from collections.abc import Iterator

import pytest

from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, serve


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(contract_of(classes("mood", ["glad", "sad"])))


@pytest.fixture
def url(fake: FakeServer) -> Iterator[str]:
    """The fake server's address."""
    yield from serve(fake)
