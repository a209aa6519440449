"""A whole run: every row once in each round, all in turns, one server behind them."""

import contextlib
import dataclasses
import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.benchmark.answer_cost import rows
from deploy.benchmark.answer_cost.results import (
    BARE,
    IN_PROCESS,
    LOADED,
    PEER,
    SERVED,
    Row,
    row_of,
)
from deploy.benchmark.answer_cost.rows import Request, ServedRow
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.pictures.photos import PHOTOS, read_rgb, write_photo
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.sample import Sample
from deploy.measuring.server_processes import (
    GATEWAY,
    ServerProcesses,
    medians_by_part,
    without_idle,
)
from deploy.measuring.workers import Worker, call_together
from qface_client import FaceClient
from runtime.image.crops import crop_of

_PACKAGE = "deploy.benchmark.answer_cost"
# Fewer are refused for having waited: this is about the cost of answers.
_PATIENT = ("--queue-seconds", "60", "--triton-seconds", "60")
_SETTLE_SECONDS, _IDLE_SECONDS = 0.5, 2.0
_WARM_UP_SECONDS = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Way:
    """How a row is measured: seconds -> what a round of that length gave."""

    measure: Callable[[float], Sample]
    group: str
    faces: int = 1  # of an answer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peer:
    """What is measured beside ours, in an environment of its own."""

    name: str
    python: Path
    module: str
    model: Path


def measure(
    *,
    repository: Path,
    rounds: int,
    seconds: float,
    only: Sequence[str],
    client_processes: int,
    peer: Peer | None,
    progress: Callable[[str], None],
) -> list[Row]:
    """The rows whose names hold a word of `only`, and always the bare engine's.

    EmbeddedServerError, WorkerError, ValueError or OSError where something can't be measured.
    """
    names = rows.chosen([row.name for row in rows.served_rows()] + [rows.IN_PROCESS], only)
    wanted = [row for row in rows.served_rows() if row.name in names]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qface-bench-")))
        server = stack.enter_context(GatewayServer(repository, arguments=_PATIENT))

        def worker(module: str, *arguments: str, python: str = sys.executable) -> Worker:
            return stack.enter_context(Worker(python, module, *arguments, folder=PROJECT))

        # Threads of one engine would wait, and take time, beside those of another: each has its process.
        bare = functools.partial(worker, f"{_PACKAGE}.bare_process", str(repository.resolve()))
        clients = [worker(f"{_PACKAGE}.client_process") for _ in range(client_processes)]
        requests = _requests(server.grpc_address, clients[0], folder, needed={r.request for r in wanted})
        served = _Served(server, clients, requests)
        ways: dict[str, _Way] = {}
        for setting in rows.bare_settings(len(os.sched_getaffinity(0))):
            way = functools.partial(_bare_engine, bare(), setting, requests[rows.CROP].file)
            ways[setting.name] = _Way(measure=way, group=BARE)
        for row in wanted:
            way = functools.partial(served.row, row)
            ways[row.name] = _Way(measure=way, group=row.group, faces=requests[row.request].faces)
        if rows.IN_PROCESS in names:
            ways[rows.IN_PROCESS] = _Way(measure=functools.partial(_one_process, bare()), group=IN_PROCESS)
        if peer is not None:
            beside = worker(peer.module, str(peer.model), python=str(peer.python))
            ways[peer.name] = _Way(measure=functools.partial(_one_process, beside), group=PEER)
        idle = served.processes.idle_load if wanted else None
        samples = _rounds(ways, rounds=rounds, seconds=seconds, idle_load=idle, progress=progress)
    return [
        row_of(name, group=way.group, faces=way.faces, samples=samples[name]) for name, way in ways.items()
    ]


def _rounds(
    ways: Mapping[str, "_Way"],
    *,
    rounds: int,
    seconds: float,
    idle_load: Callable[[float], dict[str, float]] | None,
    progress: Callable[[str], None],
) -> dict[str, list[Sample]]:
    """The samples of each row, what the server takes when idle subtracted."""
    for name, way in ways.items():
        progress(f"warming up: {name}")
        way.measure(_WARM_UP_SECONDS)
    samples: dict[str, list[Sample]] = {name: [] for name in ways}
    idle: list[dict[str, float]] = []
    for number in range(1, rounds + 1):
        if idle_load is not None:
            time.sleep(_SETTLE_SECONDS)
            idle.append(idle_load(_IDLE_SECONDS))
        for name, way in ways.items():
            sample = way.measure(seconds)
            samples[name].append(sample)
            core_ms = 1e3 * sum(sample.core_seconds.values()) / max(1, sample.answers)
            progress(f"round {number} of {rounds}: {name}: {core_ms:.1f} core-ms, {sample.rate:.1f}/s")
    if idle:
        medians = medians_by_part(idle)
        for name, way in ways.items():
            if way.group in (SERVED, LOADED):
                samples[name] = [without_idle(sample, medians) for sample in samples[name]]
    return samples


class _Served:
    """Measures rows of the server; the rates of a round's rows are the capacity of those under load."""

    def __init__(
        self, server: GatewayServer, clients: Sequence[Worker], requests: Mapping[str, Request]
    ) -> None:
        triton = next(each["address"] for each in server.status()["tritons"] if each["active"])
        self._addresses = {rows.GATEWAY: server.grpc_address, rows.DIRECT: triton}
        self._clients = clients
        self._requests = requests
        self._rates: dict[str, float] = {}
        self._seed = 0
        self.processes = ServerProcesses(server.supervisor_pid)

    def row(self, row: ServedRow, seconds: float) -> Sample:
        """A round of a row."""
        if row.load is None:
            sample = self._closed(row, seconds)
            if row.way == rows.GATEWAY and row.clients == rows.MANY:
                self._rates[row.request] = sample.rate
            return sample
        if row.request not in self._rates:
            self._closed(dataclasses.replace(row, load=None), seconds)
            self._rates[row.request] = self._closed(dataclasses.replace(row, load=None), seconds).rate
        self._seed += 1
        rate = row.load * self._rates.pop(row.request)
        worker, request = self._clients[0], {"rate": rate, "seconds": 2 * seconds, "seed": self._seed}
        return self._sample(row, [(worker, {"do": "open", **request})])

    def _closed(self, row: ServedRow, seconds: float) -> Sample:
        used = self._clients[: row.clients]
        share, more = divmod(row.clients, len(used))
        return self._sample(
            row,
            [
                (worker, {"do": "closed", "clients": share + (number < more), "seconds": seconds})
                for number, worker in enumerate(used)
            ],
        )

    def _sample(self, row: ServedRow, calls: Sequence[tuple[Worker, Mapping[str, Any]]]) -> Sample:
        what = {"address": self._addresses[row.way], "request": self._plain(row.request)}
        before, began = self.processes.seconds(), time.perf_counter()
        answers = call_together([(worker, {**call, **what}) for worker, call in calls])
        took = time.perf_counter() - began
        spent = {part: now - before[part] for part, now in self.processes.seconds().items()}
        if row.way == rows.DIRECT:
            spent.pop(GATEWAY, None)  # it stands beside
        latencies = [latency for answer in answers for latency in answer["latencies"]]
        client = sum(answer["core_seconds"] for answer in answers)
        return Sample(
            answers=len(latencies),
            seconds=took,
            core_seconds={"client": client, **spent},
            latencies=latencies,
        )

    def _plain(self, name: str) -> dict[str, Any]:
        return dataclasses.asdict(self._requests[name])


def _requests(address: str, worker: Worker, folder: Path, *, needed: set[str]) -> dict[str, Request]:
    """The requests by name; those that take long to make only where they are needed."""
    place = worker.call(do="detect", address=address, file=str(PORTRAIT))
    with FaceClient(address) as client:
        contract = client.contract()
    pixels, _ = crop_of(contract.crop)(
        read_rgb(PORTRAIT), landmarks=place["landmarks"], size=contract.input_size
    )
    np.save(folder / "crop.npy", pixels)
    face = Request(file=str(PORTRAIT), box=tuple(place["box"]), landmarks=place["landmarks"])
    found = {
        rows.CROP: Request(file=str(folder / "crop.npy"), crop=True),
        rows.FACE: face,
        rows.ONE_TASK: dataclasses.replace(face, tasks=(contract.tasks[0].name,)),
        rows.PHOTO: Request(file=str(PORTRAIT)),
    }
    for photo in PHOTOS:
        if photo.name in needed:
            request = Request(file=str(write_photo(photo, folder)))
            seen = worker.call(do="look", address=address, request=dataclasses.asdict(request))
            found[photo.name] = dataclasses.replace(request, faces=seen["faces"])
    return found


def _bare_engine(worker: Worker, setting: rows.BareSetting, crop: str, seconds: float) -> Sample:
    answer = worker.call(do="engine", **dataclasses.asdict(setting), crop=crop, seconds=seconds / 2)
    return Sample(
        answers=answer["faces"],
        seconds=answer["seconds"],
        core_seconds={"engine": answer["core_seconds"]},
    )


def _one_process(worker: Worker, seconds: float) -> Sample:
    answer = worker.call(do="photo", file=str(PORTRAIT), seconds=seconds / 2)
    if answer["faces"] != 1:
        raise ValueError(f"{answer['faces']} faces were found in {PORTRAIT}, which shows one")
    return Sample(answers=answer["photos"], seconds=answer["seconds"], core_seconds=answer["core_seconds"])
