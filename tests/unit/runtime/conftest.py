"""Fixtures of the runtime's tests."""

import types
from collections.abc import Iterator

import pytest
from PIL import Image

from tests.helpers import fake_backend
from tests.helpers.paths import ASTRONAUT


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """60 x 44 pixels of a face, so that axes and corners can't be mistaken."""
    with Image.open(ASTRONAUT) as image:
        return image.convert("RGB").crop((180, 80, 240, 124))


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.SimpleNamespace]:
    """The stand-in for the backend's module (`fake_backend.installed`)."""
    with fake_backend.installed(monkeypatch) as module:
        yield module
