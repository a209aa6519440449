"""A name server on loopback, by which a name has the addresses that a test gives it."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

_HEADER = 12
_A, _INTERNET, _SECONDS = 1, 1, 1
_ANSWER, _NAME_OF_THE_QUESTION = b"\x81\x80", b"\xc0\x0c"


class NameServer:
    """Answers every question for an IPv4 address with `addresses`; all else does not exist."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._over = False

    @contextlib.contextmanager
    def running(self) -> Iterator["NameServer"]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over = True
            self._socket.sendto(b"", self._socket.getsockname())
            thread.join()
            self._socket.close()

    def _run(self) -> None:
        while True:
            question, client = self._socket.recvfrom(4096)
            if self._over:
                return
            self._socket.sendto(self._answer(question), client)

    def _answer(self, question: bytes) -> bytes:
        end = _HEADER
        while question[end]:
            end += question[end] + 1
        end += 5  # the name's end, type and class
        (kind,) = struct.unpack_from(">H", question, end - 4)
        found = self.addresses if kind == _A else []
        head = question[:2] + _ANSWER + struct.pack(">HHHH", 1, len(found), 0, 0)
        records = (
            _NAME_OF_THE_QUESTION
            + struct.pack(">HHIH", _A, _INTERNET, _SECONDS, 4)
            + socket.inet_aton(address)
            for address in found
        )
        return head + question[_HEADER:end] + b"".join(records)
