"""A process of many clients that dies by SIGKILL while their requests are in flight. Standard library alone.

    python dying_clients.py HOST:PORT CALL CLIENTS

opens CLIENTS connections and sends the bytes in the file CALL over each. It dies when all of them have
arrived, or a quarter was answered, and prints before that how many had arrived and were not answered.
"""

import contextlib
import os
import selectors
import signal
import socket
import struct
import sys
import time
from pathlib import Path

PATIENCE = 60.0  # seconds until it dies though fewer have arrived
_DATA, _HEADERS, _PING = 0, 1, 6  # kinds of frames of HTTP/2
_ACK = 1
_PING_FRAME = struct.pack(">I", 8)[1:] + struct.pack(">BBI", _PING, 0, 0) + bytes(8)


class Client:
    """One connection with one request."""

    def __init__(self, address: tuple[str, int], call: bytes) -> None:
        self.connection = socket.create_connection(address)
        # A server answers the ping when it has read what came before: then the request has arrived.
        self.connection.sendall(call + _PING_FRAME)
        self.arrived = self.answered = self.ended = False
        self._received = b""

    def read(self) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = self.connection.recv(65_536)
        self.ended = not data
        self._received += data
        while len(self._received) >= 9:
            length = 9 + int.from_bytes(self._received[:3], "big")
            if len(self._received) < length:
                return
            kind, flags = self._received[3:5]
            self.arrived |= kind == _PING and bool(flags & _ACK)
            self.answered |= kind in (_DATA, _HEADERS)
            self._received = self._received[length:]


def main(address: str, call: bytes, *, clients: int) -> None:
    """Does not return."""
    host, _, port = address.rpartition(":")
    waiting = selectors.DefaultSelector()
    connected = [Client((host, int(port)), call) for _ in range(clients)]
    for client in connected:
        waiting.register(client.connection, selectors.EVENT_READ, client)
    end = time.monotonic() + PATIENCE

    def count(what: str) -> int:
        return sum(getattr(client, what) for client in connected)

    while (
        count("arrived") < clients
        and count("answered") + count("ended") < max(1, clients // 4)
        and time.monotonic() < end
    ):
        for key, _ in waiting.select(timeout=1.0):
            key.data.read()
            if key.data.ended:
                waiting.unregister(key.fileobj)
    print(sum(each.arrived and not (each.answered or each.ended) for each in connected), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).read_bytes(), clients=int(sys.argv[3]))
