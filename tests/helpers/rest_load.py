"""Clients of a REST door that send a photo over and over, and what became of each."""

import http.client
import json
import threading
from types import TracebackType
from typing import Any, Self

from tests.helpers.paths import ASTRONAUT

PHOTO = ASTRONAUT.read_bytes()
CUT_OFF = 0  # the status of a request whose connection ended without an answer


def post(address: str, path: str = "/v1/analyze", body: bytes = PHOTO) -> tuple[int, Any]:
    """Status and JSON; CUT_OFF without an answer."""
    connection = http.client.HTTPConnection(address, timeout=120)
    try:
        connection.request("POST", path, body, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException):
        return CUT_OFF, None
    finally:
        connection.close()


class RestLoad:
    """So many clients, from the beginning of the block to its end."""

    def __init__(self, address: str, *, clients: int = 2, pause: float = 0.05) -> None:
        self._address = address
        self._pause = pause
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]
        self.answers: list[tuple[int, Any]] = []

    @property
    def statuses(self) -> set[int]:
        return {status for status, _ in tuple(self.answers)}

    def count(self, status: int) -> int:
        return sum(found == status for found, _ in tuple(self.answers))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._ended.wait(self._pause):
            self.answers.append(post(self._address))
