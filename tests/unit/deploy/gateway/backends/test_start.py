"""A start of a Triton that is called off leaves nothing behind, in the log of the gateway either."""

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.errors import StartCancelled
from deploy.gateway.backends import backend
from deploy.gateway.options import GatewayOptions


class Loading:
    """An embedded server that loads until it is called off."""

    def __init__(self, repository: Path, *, sockets: Path, **options: Any) -> None:
        self.sockets = sockets
        self.began = threading.Event()
        self.ended: list[str] = []

    def start(self, *, cancel: threading.Event) -> None:
        self.began.set()
        assert cancel.wait(10)
        raise StartCancelled("stopped before the server was ready")

    def kill(self) -> None:
        self.ended.append("kill")

    def stop(self) -> None:
        self.ended.append("stop")


def test_a_start_that_is_called_off_ends_quietly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Loading] = []
    reported: list[dict[str, Any]] = []

    def loading(*arguments: Any, **options: Any) -> Loading:
        made.append(Loading(*arguments, **options))
        return made[0]

    monkeypatch.setattr(backend, "EmbeddedServer", loading)

    async def once() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        starting = loop.create_task(
            backend.start_backend(
                generation=1, repository=tmp_path, options=GatewayOptions(repository=tmp_path), log=None
            )
        )
        while not made or not made[0].began.is_set():
            await asyncio.sleep(0.001)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        del starting
        gc.collect()

    asyncio.run(once())
    assert reported == []
    assert made[0].ended == ["kill", "stop"]
    assert not made[0].sockets.exists()
