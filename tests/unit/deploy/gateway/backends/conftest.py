"""Fake Tritons for tests of the pool."""

from collections.abc import Iterator

import pytest

from deploy.gateway.backends import pool as module
from deploy.gateway.backends import standby
from tests.helpers.fake_tritons import FakeTritons


@pytest.fixture
def tritons(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTritons]:
    monkeypatch.setattr(module, "_FAREWELL_SECONDS", 0.2)
    monkeypatch.setattr(standby, "_LOOK_SECONDS", 0.01)
    fake = FakeTritons()
    yield fake
    fake.end()
