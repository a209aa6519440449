"""Tritons that only sleep, for tests of what watches them: real processes, no server."""

import asyncio
import contextlib
import dataclasses
import signal
import subprocess
import time
from pathlib import Path
from typing import cast

from deploy.embedded import CannotStart, Crashed, EmbeddedServer
from deploy.gateway.backends import processes
from deploy.gateway.backends.backend import Backend
from deploy.gateway.front.served_models import ServedModels


def process_of(pid: int, *, name: str) -> processes.Process:
    """The process that has this number now."""
    return dataclasses.replace(processes.family(pid)[0], name=name)


class SleepingServer:
    """What a Backend needs of an EmbeddedServer: two processes, "tritonserver" and one of a model."""

    metrics_address = "unix:/nowhere/metrics"
    on_gpu = False

    def __init__(self) -> None:
        self.children = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
        self.killed = False
        self.lingers = 0.0  # seconds from its processes' death to the end of `stop`

    def family(self) -> tuple[processes.Process, ...]:
        names = ("tritonserver", "the process of the model echo")
        return tuple(
            process_of(child.pid, name=name) for child, name in zip(self.children, names, strict=True)
        )

    def at_normal_priority(self) -> None:
        pass

    def kill(self) -> None:
        self.killed = True
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        self.kill()
        for child in self.children:
            child.wait()
        time.sleep(self.lingers)


class FakeTritons:
    """Starts sleeping Tritons; a repository called "broken" does not start."""

    def __init__(self) -> None:
        self.servers: dict[int, SleepingServer] = {}
        self.starts: list[Path] = []
        self.failures: list[str] = []  # sentences with which the next starts fail, whatever is started
        self.crashes = 0  # of the next starts
        self.seconds = 0.0  # that a start takes
        self.cancel_seconds = 0.0  # that it takes to call a start off
        self.models: tuple[str, ...] = ("echo",)
        self.most_at_once = 0  # of starts
        self._under_way = 0

    async def start(self, repository: Path, *, niceness: int) -> Backend:
        del niceness
        self.starts.append(repository)
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(self.cancel_seconds)
            raise
        finally:
            self._under_way -= 1
        if self.crashes:
            self.crashes -= 1
            raise Crashed("the server crashed")
        if self.failures:
            raise CannotStart(self.failures.pop(0))
        if repository.name == "broken":
            raise CannotStart("the model repository is broken")
        generation = len(self.servers) + 1
        server = self.servers[generation] = SleepingServer()
        return Backend(
            generation=generation,
            repository=repository,
            address="unix:/nowhere/grpc",
            served=ServedModels(
                generation=generation,
                server_metadata=b"",
                configs=dict.fromkeys(self.models, b""),
                metadata=dict.fromkeys(self.models, b""),
            ),
            server=cast(EmbeddedServer, server),
            family=server.family(),
        )

    def signal(self, generation: int, process: int, number: signal.Signals) -> None:
        """Sends a signal to tritonserver (0) or to the model's process (1) of a Triton."""
        self.servers[generation].children[process].send_signal(number)

    def end(self) -> None:
        for server in self.servers.values():
            server.stop()
