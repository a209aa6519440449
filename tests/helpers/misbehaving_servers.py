"""Servers of a few lines that end connections in ways that no server of a protocol does."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close drops the connection at once


def _reset(connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _close(connection: socket.socket) -> None:
    connection.recv(1 << 16)


def _garbage(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(b"\xa5garbage" * 40)
    connection.recv(1 << 16)


def _half_an_answer(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")


ENDINGS: Mapping[str, Callable[[socket.socket], None]] = {
    "reset": _reset,
    "close": _close,
    "garbage": _garbage,
    "half an answer": _half_an_answer,
}


@contextlib.contextmanager
def misbehaving(ending: str) -> Iterator[str]:
    """The address of a server that ends each connection so (a key of ENDINGS)."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    ENDINGS[ending](connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and does nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def unused_address() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"
