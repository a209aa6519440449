"""A process of many clients that dies by SIGKILL while their requests are in flight. Standard library alone.

    python dying_clients.py HOST:PORT CALL CLIENTS ANSWERS

opens CLIENTS connections, sends the bytes in the file CALL over each, and dies as soon as ANSWERS of them
have been answered: the others are in flight then, or wait.
"""

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

PATIENCE = 60.0  # seconds until it dies though fewer were answered
_DATA, _HEADERS = 0, 1  # kinds of frames of HTTP/2


def answered(received: bytes) -> bool:
    """Whether an answer on stream 1 has begun in what a server has sent."""
    at = 0
    while at + 9 <= len(received):
        stream = int.from_bytes(received[at + 5 : at + 9], "big") & 0x7FFFFFFF
        if stream == 1 and received[at + 3] in (_DATA, _HEADERS):
            return True
        at += 9 + int.from_bytes(received[at : at + 3], "big")
    return False


def main(address: str, call: bytes, *, clients: int, answers: int) -> None:
    """Does not return."""
    host, _, port = address.rpartition(":")
    waiting = selectors.DefaultSelector()
    received: dict[int, bytes] = {}
    connections = []
    for _ in range(clients):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(call)
        connections.append(connection)
        received[connection.fileno()] = b""
        waiting.register(connection, selectors.EVENT_READ)
    end = time.monotonic() + PATIENCE
    done = 0
    while done < answers and waiting.get_map() and time.monotonic() < end:
        for key, _ in waiting.select(timeout=1.0):
            data = b""
            with contextlib.suppress(OSError):
                data = os.read(key.fd, 65_536)
            received[key.fd] += data
            if not data or answered(received[key.fd]):
                done += 1
                waiting.unregister(key.fileobj)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).read_bytes(), clients=int(sys.argv[3]), answers=int(sys.argv[4]))
