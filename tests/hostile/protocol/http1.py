"""Bytes of HTTP/1.1 to a server, well-formed or not, and the answers that come back."""

import contextlib
import http.client
import io
import json
import re
import socket
from typing import Any

from tests.hostile.protocol.variant import CLOSED, SECONDS, SILENT, End

_PROBLEM = {"type", "title", "status", "detail", "reason"}
_PATIENCE = 0.3  # seconds for an answer to what may be no request; then our end of the connection closes


def exchange(address: str, data: bytes) -> End:
    """Sends the bytes and reads to the end of the connection; the statuses of several answers by commas.

    A refusal that is no problem+json is an end of its own.
    """
    host, _, port = address.rpartition(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        # A server that refuses by the headers need not read the rest.
        with contextlib.suppress(ConnectionError, TimeoutError):
            connection.sendall(data)
        asked_to_close = b"onnection: close" in data
        connection.settimeout(SECONDS if asked_to_close else _PATIENCE)
        for last in (False, True):
            try:
                while part := connection.recv(65536):
                    received += part
                    if asked_to_close and data.count(b" HTTP/") == 1 and _is_whole(received):
                        break  # before a server that waits for the rest of a body closes
                break
            except ConnectionError:
                break
            except TimeoutError:
                if last:
                    return End(code=SILENT, details=repr(received[:200]))
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                connection.settimeout(SECONDS)
    return end_of(received, head=data.startswith(b"HEAD"))


def _is_whole(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return length is not None and len(body) >= int(length.group(1))


def end_of(received: bytes, *, head: bool = False) -> End:
    """The end that these bytes of answers are."""
    if not received:
        return End(code=CLOSED)
    stream, codes, details = _Stream(received), [], ""
    while stream.left:
        answer = http.client.HTTPResponse(stream, method="HEAD" if head else "POST")  # type: ignore[arg-type]
        try:
            answer.begin()
            body = answer.read()
        except (http.client.HTTPException, ValueError) as error:
            return End(code="no HTTP", details=f"{error!r}: {received[:200]!r}")
        if answer.status == 100:
            continue
        codes.append(str(answer.status))
        if "Set-Cookie" in answer.headers or "X-Injected" in answer.headers:
            return End(code="injected headers", details=str(answer.headers)[:300])
        if answer.status >= 400 and not head:
            try:
                content = json.loads(body)
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert set(content) == _PROBLEM
                assert content["status"] == answer.status
            except (ValueError, AssertionError, TypeError):
                return End(code="no problem+json", details=repr(received[:300]))
            details = content["detail"]
    return End(code=",".join(codes), details=details)


class _Stream:
    """Received bytes in a socket's place, for one answer after the other."""

    def __init__(self, data: bytes) -> None:
        self._buffer = io.BytesIO(data)
        self._size = len(data)

    @property
    def left(self) -> int:
        return self._size - self._buffer.tell()

    def makefile(self, mode: str) -> io.BufferedIOBase:
        return _Kept(self._buffer)


class _Kept(io.BufferedReader):
    """A file whose end is not the buffer's: the next answer follows in it."""

    def __init__(self, buffer: io.BytesIO) -> None:
        super().__init__(_Raw(buffer), buffer_size=1)


class _Raw(io.RawIOBase):
    def __init__(self, buffer: io.BytesIO) -> None:
        self._buffer = buffer

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any, /) -> int:
        return self._buffer.readinto(target)
