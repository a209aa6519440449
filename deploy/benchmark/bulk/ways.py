"""The ways in which the photos of a folder are answered, each measured from its start to its end."""

import dataclasses
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.benchmark.bulk.spent import Spent
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.processes import processes_below
from deploy.measuring.processor_time import cpu_seconds
from qface_client import FaceClient
from qface_client.local import LocalFaceClient

BULK_PYTHON = PROJECT / ".venv-bulk" / "bin" / "python"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What every way has to do."""

    folder: Path
    photos: Sequence[Path]
    tasks: Sequence[str]
    repository: Path
    server: GatewayServer
    at_a_time: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pass:
    """One pass over the photos."""

    seconds: float
    core_seconds: float  # of all processes that the way needs
    photos: int


Way = Callable[[Job], Pass]


def client_loop(job: Job) -> Pass:
    """`analyze`, one photo after the other."""
    with _processes(job) as spent, FaceClient(job.server.grpc_address) as client:
        for photo in job.photos:
            client.analyze(photo, tasks=job.tasks)
    return spent()


def client_many(job: Job) -> Pass:
    """`analyze_many`."""
    with _processes(job) as spent, FaceClient(job.server.grpc_address) as client:
        for result in client.analyze_many(job.photos, tasks=job.tasks, concurrency=job.at_a_time):
            if result.error is not None:
                raise ValueError(f"photo {result.index} failed: {result.error}")
    return spent()


def local_loop(job: Job) -> Pass:
    """`LocalFaceClient.analyze`, one photo after the other."""
    with _processes(job, served=False) as spent, LocalFaceClient(job.repository) as client:
        for photo in job.photos:
            client.analyze(photo, tasks=job.tasks)
    return spent()


def bulk_local(job: Job) -> Pass:
    """The command with the engine in its workers."""
    return _bulk(job, "--network", str(job.repository))


def bulk_served(job: Job) -> Pass:
    """The command with a server."""
    before = _of_server(job)
    measured = _bulk(job, "--url", job.server.grpc_address)
    return dataclasses.replace(measured, core_seconds=measured.core_seconds + _of_server(job) - before)


WAYS: Mapping[str, Way] = {
    "FaceClient, one after the other": client_loop,
    "analyze_many": client_many,
    "LocalFaceClient, one after the other": local_loop,
    "bulk, engine in its workers": bulk_local,
    "bulk, through the server": bulk_served,
}
LOOP = "FaceClient, one after the other"  # what the others are compared with


@contextmanager
def _processes(job: Job, *, served: bool = True) -> Iterator[Callable[[], Pass]]:
    """Measures this process, and the server's with it, from the block's begin to its end."""
    own, server, began = time.process_time(), _of_server(job) if served else 0.0, time.monotonic()
    measured: list[Pass] = []
    yield lambda: measured[0]
    seconds, spent = time.monotonic() - began, time.process_time() - own
    if served:
        spent += _of_server(job) - server
    measured.append(Pass(seconds=seconds, core_seconds=spent, photos=len(job.photos)))


def _of_server(job: Job) -> float:
    supervisor = job.server.supervisor_pid
    return cpu_seconds(supervisor, *processes_below(supervisor))


def _bulk(job: Job, *words: str) -> Pass:
    with tempfile.TemporaryDirectory(prefix="qface-answered-") as output:
        command = [
            *(str(BULK_PYTHON), "-m", "deploy.bulk", str(job.folder), "--tasks", ",".join(job.tasks)),
            *("--output", f"{output}/run", *words),
        ]
        log = Path(output) / "log"
        with log.open("w") as sink:
            began = time.monotonic()
            process = subprocess.Popen(
                command, cwd=PROJECT, stdout=sink, stderr=sink, env=os.environ | {"PYTHONPATH": "client"}
            )
            try:
                with Spent(process.pid) as spent:
                    status = process.wait()
                seconds = time.monotonic() - began
            finally:
                process.kill()
                process.wait()
        if status:
            raise ValueError(f"deploy.bulk ended with status {status}: {log.read_text()[-2000:]}")
    return Pass(seconds=seconds, core_seconds=spent.seconds, photos=len(job.photos))
