"""A client of the REST door: photos over a connection that it keeps, answers as JSON."""

import contextlib
import http.client
import json
import random
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from deploy.benchmark.load.clients import Reply
from deploy.measuring.http_statuses import code_of

ANALYZE = "/v1/analyze"
_IDLE = 1.0  # seconds after which a server may end a connection by itself
_BOUNDARY = "qface-load-2d1c9f"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close drops the connection at once


class RestClient:
    """One connection at a time; it is made when it is needed, and again after `close` and after an error."""

    def __init__(self, address: str, *, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._headers = dict(metadata)
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0  # when the connection was last answered; 0 for a new one

    def analyze(
        self, photo: bytes, *, query: Mapping[str, str], deadline: float, form: bool = False
    ) -> tuple[Reply, object]:
        """The answer to a photo, as its body or (`form`) as a form's file, with its JSON value.

        A status is named as the gRPC one that it stands for; "" where the server gave none in time.
        """
        kind, body = ("image/jpeg", photo) if not form else _form(photo)
        return self.ask(
            "POST",
            f"{ANALYZE}?{urlencode(query)}",
            body=body,
            headers={"Content-Type": kind},
            deadline=deadline,
        )

    def ask(
        self,
        method: str,
        path: str,
        *,
        deadline: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Reply, object]:
        """Any request; the value is None where the answer is no JSON."""
        idle = time.monotonic() - self._used
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=deadline)
        try:
            self._connection.request(method, path, body=body, headers=self._headers | dict(headers or {}))
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            was_idle = self._used and idle > _IDLE
            self.close()
            if was_idle and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                # The server had ended the connection; one that was in use it may not end.
                return self.ask(method, path, deadline=deadline, body=body, headers=headers)
            code = "UNAVAILABLE" if isinstance(error, ConnectionRefusedError) else ""
            return Reply(code=code, details=f"{type(error).__name__}: {error}"), None
        self._used = time.monotonic()
        value: object = None
        with contextlib.suppress(ValueError):
            value = json.loads(data)
        if answer.will_close:
            self.close()
        wait = answer.getheader("Retry-After")
        code = code_of(answer.status)
        details = "" if answer.status == 200 else data.decode(errors="replace")[:500]
        return Reply(code=code, details=details, pushback=float(wait) if wait else None), value

    def leave(self, photo: bytes, *, chance: random.Random, whole: bool) -> None:
        """Drops a connection of its own: before a whole request is answered, or in the middle of its body."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items())
        head = (
            f"POST {ANALYZE} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{head}"
            f"Content-Type: image/jpeg\r\nContent-Length: {len(photo)}\r\n\r\n"
        )
        sent = photo if whole else photo[: chance.randrange(max(1, len(photo)))]
        drop(self._host, self._port, head.encode() + sent, chance=chance)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._used = 0.0


def drop(host: str, port: int, data: bytes, *, chance: random.Random) -> None:
    """Sends this over a connection and drops it after up to 0.2 s, half of the times by a reset."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, port), timeout=10) as connection,
    ):
        if chance.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.sendall(data)
        time.sleep(chance.uniform(0.0, 0.2))


def _form(photo: bytes) -> tuple[str, bytes]:
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="photo"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + photo + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return f"multipart/form-data; boundary={_BOUNDARY}", body
