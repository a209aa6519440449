"""When a client may be used: until it is closed, and in the process that made it."""

import os
import threading
from typing import NoReturn


class Lifecycle:
    """Of one client, `kind` by its class's name; thread-safe."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._process = os.getpid()
        self._closed = False
        self._lock = threading.Lock()

    def check(self) -> None:
        """RuntimeError where the client can't be used."""
        if self._closed:
            raise RuntimeError(f"this {self._kind} is closed: make a new one")
        if self._process != os.getpid():
            # gRPC's threads and connections stay with the parent: a call may hang.
            raise RuntimeError(
                f"this {self._kind} was made before this process was forked, and belongs to its parent: make "
                "one here, after the fork"
            )

    def described(self, url: str) -> str:
        """The client as its `repr` shows it; `url`: "" where not gRPC carries its calls."""
        state = ", closed" if self._closed else ""
        return f"<{self._kind} {url or 'with a transport'}{state}>"

    def end(self) -> bool:
        """Close; whether to free what the client holds: that is the first closer's in the own process."""
        with self._lock:
            first, self._closed = not self._closed, True
        return first and self._process == os.getpid()

    def refuse_pickling(self) -> TypeError:
        """The error for an attempt to pickle or copy the client."""
        return TypeError(
            f"a {self._kind} holds a connection and can't be pickled or copied: make one in each process"
        )


class OfOneProcess:
    """A client to Python: it is shown by its address, and neither pickled nor copied."""

    _lifecycle: Lifecycle
    _url: str

    def __repr__(self) -> str:
        return self._lifecycle.described(self._url)

    def __reduce__(self) -> NoReturn:
        raise self._lifecycle.refuse_pickling()
