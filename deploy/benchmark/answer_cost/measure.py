"""A whole run: every row once in each round, all in turns, one server behind them."""

import contextlib
import dataclasses
import functools
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.benchmark.answer_cost import rows
from deploy.benchmark.answer_cost.callers import (
    ClientProcesses,
    bare_engine,
    bare_worker,
    clients_in,
)
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
from deploy.measuring.server_processes import GATEWAY, ServerProcesses, medians_by_part
from deploy.measuring.workers import Worker
from qface_client import FaceClient
from qface_client.measuring.sample import Sample
from runtime.image.crops import crop_of

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
        clients = stack.enter_context(clients_in(client_processes))
        requests = _requests(server.grpc_address, clients, folder, needed={row.request for row in wanted})
        served = _Served(server, clients, requests)
        ways: dict[str, _Way] = {}
        for setting in rows.bare_settings(len(os.sched_getaffinity(0))):
            worker = stack.enter_context(bare_worker(repository))
            way = functools.partial(_bare_engine, worker, setting, requests[rows.CROP].file)
            ways[setting.name] = _Way(measure=way, group=BARE)
        for row in wanted:
            way = functools.partial(served.row, row)
            ways[row.name] = _Way(measure=way, group=row.group, faces=requests[row.request].faces)
        if rows.IN_PROCESS in names:
            worker = stack.enter_context(bare_worker(repository))
            ways[rows.IN_PROCESS] = _Way(measure=functools.partial(_one_process, worker), group=IN_PROCESS)
        if peer is not None:
            beside = stack.enter_context(
                Worker(str(peer.python), peer.module, str(peer.model), folder=PROJECT)
            )
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
            if not sample.answers:
                raise ValueError(
                    f"nothing was answered in a round of {name!r}: measure longer with --seconds"
                )
            samples[name].append(sample)
            core_ms = sum(sample.core_ms.values())
            progress(f"round {number} of {rounds}: {name}: {core_ms:.1f} core-ms, {sample.rate:.1f}/s")
    if idle:
        medians = medians_by_part(idle)
        for name, way in ways.items():
            if way.group in (SERVED, LOADED):
                samples[name] = [sample.without_idle(medians) for sample in samples[name]]
    return samples


class _Served:
    """Measures rows of the server; the rates of a round's rows are the capacity of those under load."""

    def __init__(
        self, server: GatewayServer, clients: ClientProcesses, requests: Mapping[str, Request]
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
        return self._sample(row, self._clients.open, rate=rate, seconds=2 * seconds, seed=self._seed)

    def _closed(self, row: ServedRow, seconds: float) -> Sample:
        return self._sample(row, self._clients.closed, clients=row.clients, seconds=seconds)

    def _sample(self, row: ServedRow, send: Callable[..., Sample], **how: Any) -> Sample:
        what = {"address": self._addresses[row.way], "request": self._requests[row.request]}
        sample = self.processes.sample(functools.partial(send, **what, **how))
        if row.way == rows.GATEWAY:
            return sample
        beside = {part: spent for part, spent in sample.core_seconds.items() if part != GATEWAY}
        return dataclasses.replace(sample, core_seconds=beside)


def _requests(
    address: str, clients: ClientProcesses, folder: Path, *, needed: set[str]
) -> dict[str, Request]:
    """The requests by name; those that take long to make only where they are needed."""
    face = clients.portrait(address)
    with FaceClient(address) as client:
        contract = client.contract()
    pixels, _ = crop_of(contract.crop)(read_rgb(PORTRAIT), landmarks=face.landmarks, size=contract.input_size)
    np.save(folder / "crop.npy", pixels)
    found = {
        rows.CROP: Request(file=str(folder / "crop.npy"), crop=True),
        rows.FACE: face,
        rows.ONE_TASK: dataclasses.replace(face, tasks=(contract.tasks[0].name,)),
        rows.PHOTO: Request(file=str(PORTRAIT)),
    }
    for photo in PHOTOS:
        if photo.name in needed:
            request = Request(file=str(write_photo(photo, folder)))
            found[photo.name] = dataclasses.replace(request, faces=clients.faces(address, request))
    return found


def _bare_engine(worker: Worker, setting: rows.BareSetting, crop: str, seconds: float) -> Sample:
    return bare_engine(worker, setting, crop=crop, seconds=seconds / 2)


def _one_process(worker: Worker, seconds: float) -> Sample:
    answer = worker.call(do="photo", file=str(PORTRAIT), seconds=seconds / 2)
    if (faces := answer.pop("faces")) != 1:
        raise ValueError(f"{faces} faces were found in {PORTRAIT}, which shows one")
    return Sample(**answer)
