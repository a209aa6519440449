"""Where a server listens: TCP ports for everybody who reaches the host, or sockets in a private folder."""

import contextlib
import dataclasses
import os
import socket
import stat
from pathlib import Path

from deploy.embedded.errors import CannotStart, EmbeddedServerError
from deploy.embedded.ports import Ports

_LONGEST = 107  # bytes of a socket's path that the kernel takes
# Triton opens its gRPC socket under "address:port", and that of the metrics under the address alone.
_GRPC, _METRICS = "grpc:1", "metrics"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TcpEndpoints:
    """Ports of one address."""

    host: str
    ports: Ports

    @property
    def grpc_address(self) -> str:
        return f"{self.host}:{self.ports.grpc}"

    @property
    def http_address(self) -> str:
        if self.ports.http is None:
            raise EmbeddedServerError("this server does not speak HTTP: name an http_port (0: any free one)")
        return f"{self.host}:{self.ports.http}"

    @property
    def metrics_address(self) -> str:
        return f"{self.host}:{self.ports.metrics}"

    def arguments(self) -> list[str]:
        """What tritonserver is started with."""
        uses = self.ports.by_use()
        return [
            *(f"--{use.lower()}-address={self.host}" for use in uses),
            *(f"--{use.lower()}-port={port}" for use, port in uses.items()),
            *(() if "HTTP" in uses else ("--allow-http=false",)),
        ]

    def is_open(self) -> bool:
        """Whether a process accepts connections for gRPC, and for HTTP, which Triton opens second."""
        try:
            for port in (self.ports.grpc, self.ports.http):
                if port is None:
                    continue
                socket.create_connection((self.host, port), timeout=1).close()
        except OSError:
            return False
        return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class SocketEndpoints:
    """Sockets in a folder that only this user may enter; no HTTP."""

    folder: Path

    @property
    def grpc_address(self) -> str:
        return f"unix:{self.folder / _GRPC}"

    @property
    def http_address(self) -> str:
        raise EmbeddedServerError("a server on sockets does not speak HTTP")

    @property
    def metrics_address(self) -> str:
        """Of the HTTP page /metrics."""
        return f"unix:{self.folder / _METRICS}"

    def arguments(self) -> list[str]:
        """What tritonserver is started with."""
        return [
            f"--grpc-address=unix:{self.folder / 'grpc'}",
            "--grpc-port=1",
            f"--metrics-address=unix:{self.folder / _METRICS}",
            "--metrics-port=2",
            "--allow-http=false",
        ]

    def is_open(self) -> bool:
        """Whether a process accepts gRPC connections."""
        try:
            with socket.socket(socket.AF_UNIX) as attempt:
                attempt.settimeout(1)
                attempt.connect(str(self.folder / _GRPC))
        except OSError:
            return False
        return True


def private_endpoints(folder: Path) -> SocketEndpoints:
    """Makes the folder where it does not exist, and removes what an earlier server left of its sockets.

    Raises CannotStart where others may enter the folder, or where its path is too long for a socket.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.stat(follow_symlinks=False)
    except OSError as error:
        raise CannotStart(f"the folder {folder} for sockets can't be made: {error.strerror}") from error
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise CannotStart(
            f"{folder} is not a folder of this user's that nobody else may enter: name one with mode 0700"
        )
    if len(os.fsencode(folder / _METRICS)) > _LONGEST:
        raise CannotStart(
            f"{folder} is too long a path for sockets, which take {_LONGEST} bytes: name a shorter one"
        )
    for name in (_GRPC, _METRICS):
        with contextlib.suppress(FileNotFoundError):
            (folder / name).unlink()
    return SocketEndpoints(folder=folder)
