"""The control socket of a gateway: status, swap, rollback and reload, for this user alone.

A unix socket (0600). A request is one JSON object in a line, {"method": "swap", "repository": "/..."}, and so
is its answer, {"result": {...}} or {"error": "a sentence"}, which comes when the thing is done.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from deploy.embedded.errors import CannotStart
from deploy.gateway.listener import Listener
from deploy.gateway.operation import places
from deploy.gateway.operation.console import log

Method = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

_LONGEST_LINE = 1 << 20  # bytes
_CONNECT_SECONDS = 5.0
_BACKLOG = 100


class ControlError(Exception):
    """What a command to a running gateway came to. `status` is the command's exit status."""

    def __init__(self, sentence: str, *, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class ControlServer:
    """Answers on the socket with `methods`; an exception of theirs is answered with its sentence."""

    def __init__(self, path: Path, methods: Mapping[str, Method]) -> None:
        self._path = path
        self._methods = methods
        self._listener: Listener | None = None
        self._inode = 0

    async def start(self) -> None:
        """CannotStart where another gateway answers there, or nothing can be put there."""
        places.check_unused(self._path)
        if self._path.exists() and not self._path.is_socket():
            raise CannotStart(f"{self._path} is a file and no socket: name another place with --control")
        before = os.umask(0o177)
        try:
            self._path.unlink(missing_ok=True)  # of a process that was killed
            bound = socket.socket(socket.AF_UNIX)
            bound.bind(str(self._path))
            self._listener = Listener(
                [bound], self._connection, name="the control socket", backlog=_BACKLOG, log=log
            )
            self._inode = self._path.stat().st_ino
        except OSError as error:
            raise CannotStart(
                f"the control socket {self._path} can't be made ({error.strerror}): name another place with "
                "--control"
            ) from error
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Takes no more requests; those under way are not waited for."""
        if self._listener is None:
            return
        self._listener.close()
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _connection(self) -> asyncio.BaseProtocol:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LONGEST_LINE, loop=loop)
        return asyncio.StreamReaderProtocol(reader, self._serve, loop=loop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.closing(writer):
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(json.dumps(answer, default=str).encode() + b"\n")
                await writer.drain()

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
            method = self._methods[request["method"]]
        except (ValueError, KeyError, TypeError):
            return {"error": f"a request is a JSON object with a method of {', '.join(self._methods)}"}
        try:
            return {"result": await method(request)}
        except Exception as error:
            sentence = (
                " ".join(str(error).split()) or type(error).__name__
            )  # a model's own may have several lines
            log(f"{request['method']} failed: {sentence}")
            return {"error": sentence}


def call(path: Path, method: str, *, timeout: float | None = None, **arguments: Any) -> dict[str, Any]:
    """The result of a method of the gateway whose socket this is; ControlError with what came instead.

    `timeout` (seconds) is for the whole answer; None waits as long as it takes.
    """
    request = json.dumps({"method": method, **arguments}).encode() + b"\n"
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(str(path))
            connection.settimeout(timeout)
            connection.sendall(request)
            while not answer.endswith(b"\n") and (part := connection.recv(65536)):
                answer += part
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise ControlError(
            f"no gateway answers at {path}: start it with `make serve`, or name its socket with --control",
            status=2,
        ) from error
    except OSError as error:
        raise ControlError(f"the gateway at {path} does not answer: {error}", status=2) from error
    if not answer.endswith(b"\n"):
        raise ControlError(f"the gateway at {path} ended before it had answered {method}", status=1)
    found = json.loads(answer)
    if "error" in found:
        raise ControlError(found["error"], status=1)
    result: dict[str, Any] = found["result"]
    return result


def shown(result: Mapping[str, Any]) -> str:
    """A result for people, which programs can read as well."""
    return json.dumps(result, indent=2)
