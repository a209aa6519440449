"""A relay in front of a server that lets a part of its answers through, and then stalls or resets."""

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close drops the connection at once


@contextlib.contextmanager
def cut_after(url: str, size: int, *, stalls: bool) -> Iterator[str]:
    """The address of a relay to `url`. Of each connection `size` bytes of the server come through; then it
    stalls for good, or is reset."""
    host, _, port = url.rpartition(":")
    ended = threading.Event()

    def relay(client: socket.socket) -> None:
        with client, socket.create_connection((host, int(port))) as server:
            left = size
            while not ended.is_set():
                ready, _, _ = select.select([client, server], [], [], 0.05)
                for source in ready:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is client:
                        server.sendall(data)
                        continue
                    client.sendall(data[:left])
                    left -= len(data)
                    if left <= 0:
                        if stalls:
                            ended.wait()
                        else:
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                        return

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=_quietly, args=(relay, client)))
            threads[-1].start()

    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            ended.set()
            listening.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in threads:
                thread.join()


def _quietly(relay, client: socket.socket) -> None:  # type: ignore[no-untyped-def]
    with contextlib.suppress(OSError):
        relay(client)
