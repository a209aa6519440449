"""What can go wrong with an embedded server, each with one sentence that says what to do.

EmbeddedServerError
├── CannotStart
│   ├── HostNotSupported          not Linux x86-64, or a glibc that is too old
│   ├── EnvironmentNotSupported   Python, numpy or libpython of the server's environment
│   ├── RepositoryNotFound        nothing was assembled there
│   ├── RepositoryDamaged         what was assembled is not what its manifest says
│   ├── NoRoom                    a disk or the shared memory is full: nothing was started
│   ├── PortTaken
│   ├── LibraryNotFound           a shared library of the server or of its Python backend
│   ├── ModelFailed               a model did not load
│   ├── Crashed                   a process of the server's own ended by a C++ exception while it started
│   ├── CanaryFailed              all models loaded, and one does not answer
│   ├── StartTimeout
│   └── StartCancelled            a stop was requested before the server was ready
└── ServerDied                    it ended, and no stop was requested
"""

import contextlib
import signal
from typing import Self


class EmbeddedServerError(RuntimeError):
    """Base of everything that this package raises on purpose."""


class CannotStart(EmbeddedServerError):
    """The server did not come up; nothing of it is left."""


class HostNotSupported(CannotStart):
    """The wheel's binaries do not run on this machine."""


class EnvironmentNotSupported(CannotStart):
    """The Python environment that the server's models run in is not usable."""


class RepositoryNotFound(CannotStart):
    """No assembled model repository lies at the path."""


class RepositoryDamaged(CannotStart):
    """The repository's files, contract or runtime differ from its manifest."""


class NoRoom(CannotStart):
    """A disk or the shared memory is full, and there may be room again at any time; nothing was started."""


class PortTaken(CannotStart):
    """Another process listens on a requested port."""


class LibraryNotFound(CannotStart):
    """The dynamic loader misses a library."""


class ModelFailed(CannotStart):
    """Triton refused a model. `model` is its name, `reason` Triton's message."""

    def __init__(self, message: str, *, model: str, reason: str) -> None:
        super().__init__(message)
        self.model = model
        self.reason = reason


class Crashed(CannotStart):
    """The server or a model's process crashed while it started, as Triton 2.51 may on a busy machine."""


class CanaryFailed(CannotStart):
    """The models are ready, but a real inference was not answered."""


class StartTimeout(CannotStart):
    """The models were not ready in time."""


class StartCancelled(CannotStart):
    """The start was called off by a signal."""


class ServerDied(EmbeddedServerError):
    """The server ended by itself. `status` is its exit status, negative for a signal's number."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status

    @classmethod
    def with_status(cls, status: int, *, log_tail: str, starting: bool) -> Self:
        """From the exit status (128 + number for a signal) and the last lines of the server's log."""
        how = f"with status {status}"
        if status > 128 or status < 0:
            number = status - 128 if status > 128 else -status
            with contextlib.suppress(ValueError):
                how = f"by signal {signal.Signals(number).name}"
            status = -number
        last = next((line for line in reversed(log_tail.splitlines()) if line.strip()), "nothing")
        when = "while it started" if starting else "by itself"
        return cls(f"the server ended {when}, {how}; its last line was: {last}", status=status)
