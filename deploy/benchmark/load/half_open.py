"""Connections that never become a call: silent ones, slow ones, ones that stop in the middle of a request."""

import contextlib
import socket
from collections.abc import Iterator, Sequence

from deploy.benchmark.load import http2

_SECONDS = 30.0  # for a connection to be made, and for what a socket takes


@contextlib.contextmanager
def connected(address: str, count: int = 1) -> Iterator[list[socket.socket]]:
    """So many connections to "HOST:PORT"."""
    host, _, port = address.rpartition(":")
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=_SECONDS))
            for _ in range(count)
        ]


def send(connection: socket.socket, data: bytes) -> None:
    """As much as the other side takes before it closes."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        connection.sendall(data)


@contextlib.contextmanager
def half_sent(address: str, message: bytes, count: int) -> Iterator[None]:
    """So many calls whose second half never comes; their connections stay open for the block."""
    call = http2.call(message, authority=address)
    with connected(address, count) as connections:
        for connection in connections:
            send(connection, call[: len(call) // 2])
        yield


def byte_by_byte(connections: Sequence[socket.socket], call: bytes) -> Iterator[int]:
    """Sends a call over all connections, one byte at each step; yields how many were sent."""
    for position in range(len(call)):
        for connection in connections:
            send(connection, call[position : position + 1])
        yield position + 1
