"""A gateway and its Triton that die as a machine does, and start again at the same address."""

import contextlib
import os
import signal
import time
from pathlib import Path

from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.processes import processes_below

_START_TIMEOUT = 600.0  # seconds: on a busy machine too


class KilledServer:
    """A gateway of its own, on a free port that it keeps."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._server = GatewayServer(repository, start_timeout=_START_TIMEOUT)
        self._server.start()
        self.address = self._server.grpc_address

    def restart(self) -> float:
        """Kills every process of the server and starts it again; seconds until it is ready."""
        began = time.monotonic()
        root = self._server.supervisor_pid
        for pid in (root, *processes_below(root)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._server.stop()
        port = int(self.address.rpartition(":")[2])
        self._server = GatewayServer(self._repository, grpc_port=port, start_timeout=_START_TIMEOUT)
        self._server.start()
        return time.monotonic() - began

    def stop(self) -> None:
        """Ends it in order."""
        self._server.stop()
