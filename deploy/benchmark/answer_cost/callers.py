"""The processes that call, from the side of who measures: clients of a server, and the bare engine."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.benchmark.answer_cost.rows import BareSetting, Request
from deploy.embedded.environment import PROJECT
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.workers import Worker, call_together
from qface_client.measuring.sample import Sample

_PACKAGE = "deploy.benchmark.answer_cost"


class ClientProcesses:
    """Processes of `client_process`."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers

    def closed(self, *, address: str, request: Request, clients: int, seconds: float) -> Sample:
        """So many clients, which the processes share, each of which asks again once it was answered."""
        used = self._workers[:clients]
        share, more = divmod(clients, len(used))
        call = {"do": "closed", "seconds": seconds, **_sent(address, request)}
        calls = [(worker, {**call, "clients": share + (number < more)}) for number, worker in enumerate(used)]
        return Sample.together(Sample(**answer) for answer in call_together(calls))

    def open(self, *, address: str, request: Request, rate: float, seconds: float, seed: int) -> Sample:
        """Requests that come on their own, all from the first process."""
        call = {"do": "open", "rate": rate, "seconds": seconds, "seed": seed}
        return Sample(**self._workers[0].call(**call, **_sent(address, request)))

    def portrait(self, address: str) -> Request:
        """The portrait with the place of its face; WorkerError where the server finds none."""
        place = self._workers[0].call(do="detect", address=address, file=str(PORTRAIT))
        return Request(file=str(PORTRAIT), box=tuple(place["box"]), landmarks=place["landmarks"])

    def faces(self, address: str, request: Request) -> int:
        """Of the answer to a request."""
        return int(self._workers[0].call(do="look", **_sent(address, request))["faces"])


@contextlib.contextmanager
def clients_in(processes: int) -> Iterator[ClientProcesses]:
    """Clients in so many processes, until the block ends."""
    with contextlib.ExitStack() as stack:
        yield ClientProcesses(
            [
                stack.enter_context(Worker(sys.executable, f"{_PACKAGE}.client_process", folder=PROJECT))
                for _ in range(processes)
            ]
        )


def bare_worker(repository: Path) -> Worker:
    """A process of `bare_process`: threads of one engine would take time beside those of another."""
    return Worker(sys.executable, f"{_PACKAGE}.bare_process", str(repository.resolve()), folder=PROJECT)


def bare_engine(worker: Worker, setting: BareSetting, *, crop: str, seconds: float) -> Sample:
    """Faces of the engine alone; `crop`: a file of pixels (.npy)."""
    return Sample(**worker.call(do="engine", **dataclasses.asdict(setting), crop=crop, seconds=seconds))


def _sent(address: str, request: Request) -> Mapping[str, Any]:
    return {"address": address, "request": dataclasses.asdict(request)}
