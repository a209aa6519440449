"""One of several services: a gateway with its Triton, and what can happen to it."""

import contextlib
import os
import re
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from deploy.benchmark.several_services.places import Place
from deploy.embedded.process_guard import remove_shared_memory
from deploy.gateway.identity.keys import hash_of
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.processes import processes_below

_SERIES = re.compile(
    r'^qface_gateway_client_requests_total\{client="([^"]*)",outcome="answered"\} (\S+)', re.M
)
# Its main process runs for a fifth of the time, in turns too short for its supervisor to find it hung.
_STOPPED_SECONDS, _RUNNING_SECONDS = 1.6, 0.4


def write_keys(path: Path, keys: Mapping[str, str]) -> Path:
    """A gateway's file of keys, from them by their names."""
    path.touch(mode=0o600)
    path.write_text(
        "".join(f'[keys.{name}]\nsha256 = "{hash_of(key).hex()}"\n' for name, key in keys.items())
    )
    return path


class Service:
    """A gateway at a place, which may be started again there."""

    def __init__(self, repository: Path, place: Place, *, log: TextIO, arguments: tuple[str, ...]) -> None:
        self.place = place
        self._repository = repository
        self._log = log
        self._arguments = arguments
        self._server: GatewayServer | None = None
        self._answered_before = Counter[str]()  # by gateways that have ended

    def start(self) -> None:
        """Returns when it listens; `wait_until_ready` when it answers."""
        doors = self.place.doors
        self._server = GatewayServer(
            self._repository,
            host=doors.host,
            grpc_port=doors.grpc_port,
            rest_port=doors.rest_port,
            http_port=self.place.http_port,
            prefix=self.place.prefix,
            log=self._log,
            arguments=self._arguments,
        )
        self._server.start(wait=False)

    def wait_until_ready(self) -> None:
        self._running.wait_until_ready()

    def stop(self) -> None:
        """SIGTERM: what it has accepted is answered. Returns when it has ended."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def drain(self) -> None:
        """As `stop`; what it has answered before is still counted."""
        self._answered_before = self.answered()
        self.stop()

    def kill(self) -> None:
        """SIGKILL to all of it at once: supervisor, main process, Triton, models."""
        self._answered_before = self.answered()
        supervisor, main = self._running.supervisor_pid, self._running.pid
        for pid in (supervisor, *processes_below(supervisor)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stop()
        remove_shared_memory(f"qface_{main}_")  # a host or a container that dies takes it along

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        """Its main process gets a fifth of the time, as on a machine that is far too busy."""
        pid, over = self._running.pid, threading.Event()

        def turns() -> None:
            while not over.is_set():
                os.kill(pid, signal.SIGSTOP)
                try:
                    time.sleep(_STOPPED_SECONDS)
                finally:
                    os.kill(pid, signal.SIGCONT)
                time.sleep(_RUNNING_SECONDS)

        thread = threading.Thread(target=turns, name="slow", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def answered(self) -> Counter[str]:
        """Requests that it has answered, by the names of their keys; before a new start too."""
        url = f"http://{self.place.doors.host}:{self.place.http_port}/metrics"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=30) as page:
            counted = _SERIES.findall(page.read().decode())
        return self._answered_before + Counter({client: int(float(count)) for client, count in counted})

    @property
    def _running(self) -> GatewayServer:
        if self._server is None:
            raise RuntimeError("this service was not started")
        return self._server
