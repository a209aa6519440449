"""The real Triton server from the nvidia-pytriton wheel, started, watched and stopped on this machine.

    from deploy.embedded import EmbeddedServer

    with EmbeddedServer(Path("var/repository")) as server:
        server.grpc_address  # "127.0.0.1:43511": every model is ready and has answered

`python -m deploy.embedded --help` is the same as a command.
"""

from deploy.embedded.errors import (
    CanaryFailed,
    CannotStart,
    Crashed,
    EmbeddedServerError,
    EnvironmentNotSupported,
    HostNotSupported,
    LibraryNotFound,
    ModelFailed,
    NoRoom,
    PortTaken,
    RepositoryDamaged,
    RepositoryNotFound,
    ServerDied,
    StartCancelled,
    StartTimeout,
)
from deploy.embedded.server import EmbeddedServer

__all__ = [
    "CanaryFailed",
    "CannotStart",
    "Crashed",
    "EmbeddedServer",
    "EmbeddedServerError",
    "EnvironmentNotSupported",
    "HostNotSupported",
    "LibraryNotFound",
    "ModelFailed",
    "NoRoom",
    "PortTaken",
    "RepositoryDamaged",
    "RepositoryNotFound",
    "ServerDied",
    "StartCancelled",
    "StartTimeout",
]
