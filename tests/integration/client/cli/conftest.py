"""A server with canned answers, a photo, and `qface` in a process of its own."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qface_client import cli
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, serve

Process = subprocess.Popen[str]
Command = Callable[..., contextlib.AbstractContextManager[Process]]


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(contract_of(classes("mood", ["glad", "sad"])))


@pytest.fixture
def url(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of `fake`, which every command of the test calls."""
    for address in serve(fake):
        monkeypatch.setenv("QFACE_URL", address)
        yield address


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.png"
    Image.new("RGB", (100, 80)).save(path)
    return str(path)


@pytest.fixture
def command() -> Command:
    """Starts `qface` with some arguments; ended at the latest when the context is left."""

    @contextlib.contextmanager
    def start(*arguments: str, stdout: Any = subprocess.PIPE, stdin: Any = None) -> Iterator[Process]:
        process = subprocess.Popen(
            [sys.executable, "-m", "qface_client", *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    return start
