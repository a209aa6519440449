"""Listener: accepts connections for an asyncio protocol, and waits where descriptors are used up.

asyncio's own servers write a traceback for each of the connections that wait then, and try again more often
with every second: twelve seconds of it were two million lines of log.
"""

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Callable, Iterable

_USED_UP = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_AGAIN_SECONDS = 0.5
_LOG_SECONDS = 60.0  # between two sentences
_BEGINNING = 1024  # connections whose handshake goes on; one more ends the oldest, as each takes a descriptor


async def bound_sockets(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """Sockets at every address of a host; port 0: any free one. OSError where one can't be bound.

    `shared`: this user's other processes may have the port too.
    """
    server = await asyncio.get_running_loop().create_server(
        asyncio.Protocol, host, port, reuse_address=True, reuse_port=shared or None, start_serving=False
    )
    sockets = [each.dup() for each in server.sockets]
    server.close()
    return sockets


class Listener:
    """Accepts on bound sockets, which it takes over. For one event loop.

    protocol  makes what serves a connection
    name      of what is listened for, in the log: "the HTTP port"
    log       gets a sentence where no connection can be accepted, at most one a minute
    tls       of the connections, each with `handshake` seconds for its beginning
    """

    def __init__(
        self,
        sockets: Iterable[socket.socket],
        protocol: Callable[[], asyncio.BaseProtocol],
        *,
        name: str,
        backlog: int,
        log: Callable[[str], None],
        tls: ssl.SSLContext | None = None,
        handshake: float | None = None,
    ) -> None:
        """OSError where a socket can't listen."""
        self._protocol = protocol
        self._name = name
        self._log = log
        self._log_at = 0.0
        self._tls = tls
        self._handshake = None if tls is None else handshake
        self._beginning: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._sockets = tuple(sockets)
        for each in self._sockets:
            each.setblocking(False)
            each.listen(backlog)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._accept(each), name=name) for each in self._sockets]

    def close(self) -> None:
        """Accepts no more; the connections that stand go on."""
        for task in (*self._tasks, *self._beginning):
            task.cancel()
        for each in self._sockets:
            each.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in _USED_UP:
                    self._report(error)
                    await asyncio.sleep(_AGAIN_SECONDS)
                continue  # else it has gone before it was accepted
            beginning = loop.create_task(self._begin(connection))  # a slow handshake keeps out no other
            self._beginning[beginning] = None
            beginning.add_done_callback(self._forget)
            if len(self._beginning) > _BEGINNING:
                oldest = next(iter(self._beginning))
                self._forget(oldest)
                oldest.cancel()
            # What waits to be accepted is accepted without a pause: not before all else.
            await asyncio.sleep(0)

    def _forget(self, beginning: asyncio.Task[None]) -> None:
        self._beginning.pop(beginning, None)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, connection, ssl=self._tls, ssl_handshake_timeout=self._handshake
            )
        except OSError:  # its client's: it has gone, or does not speak TLS
            connection.close()
        except Exception as error:
            connection.close()
            self._log(f"a connection to {self._name} failed: {type(error).__name__}")

    def _report(self, error: OSError) -> None:
        if (now := time.monotonic()) >= self._log_at:
            self._log_at = now + _LOG_SECONDS
            self._log(
                f"{self._name} accepts no connections ({error.strerror}): end clients that hold some, or "
                "raise the limit (`ulimit -n`, LimitNOFILE= in a unit)"
            )
