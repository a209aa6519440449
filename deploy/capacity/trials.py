"""Short loads on a server of this machine, measured from both sides."""

import contextlib
import dataclasses
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deploy.capacity.measured import ENGINE, Measured, batches, shares
from deploy.capacity.priority import before_others, share_of_others
from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.generator import GeneratorPool
from deploy.loadtest.loads import ClosedLoop, Load, OpenLoop
from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import OK, Target
from deploy.loadtest.results import Server
from deploy.loadtest.server.side import ServerSide, server_side
from deploy.loadtest.work.building import build
from deploy.loadtest.work.mix import Entry
from deploy.loadtest.work.options import WorkOptions
from deploy.measuring.about import served_here
from deploy.measuring.processes import processes_below
from deploy.measuring.processor_time import cpu_seconds
from qface_client.measuring.histogram import Histogram

MANY = 16  # clients that keep the server busy
_DOOR = "grpc"
_DEADLINE, _ANSWER_SECONDS = 60.0, 30.0
_PAUSE_SECONDS = 2.0  # between loads: others have the machine again
_SETTLING = 0.2  # of a closed loop, until its clients are spread over the server's steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """What one load gave.

    arrivals    [n] when each request was due, in seconds, ascending
    latency     [m] seconds of each answer
    rate        answers a second, once a closed loop has settled
    others      share of the cores that all else took, which was neither the server nor its clients
    """

    arrivals: NDArray[np.float64]
    latency: NDArray[np.float64]
    rate: float
    faces: float
    others: float
    server: Server

    @property
    def unanswered(self) -> int:
        return len(self.arrivals) - len(self.latency)


class Trials:
    """Loads of one kind of request on one server; made by `trials`."""

    def __init__(
        self,
        server: GatewayServer,
        pool: GeneratorPool,
        side: ServerSide,
        *,
        real_time: bool,
        repository: Path,
        request_bytes: int,
    ) -> None:
        self._server = server
        self._pool = pool
        self._side = side
        self._real_time = real_time
        self._served = served_here(repository)
        self._request_bytes = request_bytes

    def run(self, load: Load, seconds: float) -> Trial:
        """A load of so many seconds; ValueError where nothing was answered."""
        if self._real_time:
            time.sleep(_PAUSE_SECONDS)
        with before_others(self._processes) if self._real_time else contextlib.nullcontext():
            before, spent, began = self._side.look(), cpu_seconds(*self._pool.pids), _all_cores()
            ours = cpu_seconds(*self._processes())
            records, words = self._pool.run(load, seconds)
            ours = cpu_seconds(*self._processes()) - ours
            after, spent, ended = self._side.look(), cpu_seconds(*self._pool.pids) - spent, _all_cores()
        answered = records[np.array([word == OK for word in words], dtype=bool)[records["code"]]]
        if not len(answered):
            raise ValueError(
                f"nothing was answered under the load of {load.name}: measure longer with --seconds"
            )
        latency = answered["ended"] - answered["due"]
        kind = self._pool.kinds[0]
        begin = records["due"].min()
        settled = (answered["ended"] > begin + _SETTLING * seconds) & (answered["ended"] <= begin + seconds)
        return Trial(
            arrivals=np.sort(records["due"]),
            latency=latency,
            rate=float(settled.sum() / ((1 - _SETTLING) * seconds)),
            faces=float(answered["faces"].mean()),
            # Others that come after all of ours take what ours leave, and what the kernel keeps for them.
            others=share_of_others()
            if self._real_time
            else max(0.0, ended.busy - began.busy - ours) / (ended.all - began.all),
            server=self._side.between(
                before, after, latency={kind: Histogram.of(latency)}, client_core_seconds=spent
            ),
        )

    def measured(self, alone: Sequence[Trial], many: Sequence[Trial]) -> Measured:
        """What the trials of one client, and of many, show: medians of the rounds."""
        return Measured(
            cores=len(os.sched_getaffinity(0)),
            instances=self._served["instances"],
            streams=int(self._served["engine"]["streams"]),
            alone=_medians(alone),
            busy=_medians(many),
            latency=np.concatenate([trial.latency for trial in alone]),
            clients=MANY,
            rate=statistics.median(trial.rate for trial in many),
            faces=statistics.fmean(trial.faces for trial in many),
            engine=_batches([*alone, *many]),
            busy_engine=_batches(many),
            shares=shares(
                [step for trial in many for step in trial.server.steps],
                answers=statistics.fmean(len(trial.latency) for trial in many),
            ),
            others=statistics.median(trial.others for trial in many),
            in_flight=statistics.median(trial.server.in_flight_limit for trial in many),
            request_bytes=self._request_bytes,
        )

    def _processes(self) -> list[int]:
        supervisor = self._server.supervisor_pid
        return [os.getpid(), *self._pool.pids, supervisor, *processes_below(supervisor)]


@contextlib.contextmanager
def trials(server: GatewayServer, repository: Path, kind: str, *, real_time: bool) -> Iterator[Trials]:
    """Of one entry of a mix ("photo", "crop"), as `python -m deploy.loadtest --mix` takes it."""
    target = Target(protocol=_DOOR, address=server.grpc_address)
    options = WorkOptions(mix=(Entry.parse(kind),))
    work = build(options, door=doors[_DOOR], target=target, timeout=_ANSWER_SECONDS)
    with (
        GeneratorPool(target, work.questions, processes=1, deadline=_DEADLINE) as pool,
        server_side(
            target,
            work.questions,
            supervisor_pid=server.supervisor_pid,
            metrics_url=f"http://{server.http_address}/metrics",
        ) as side,
    ):
        yield Trials(
            server,
            pool,
            side,
            real_time=real_time,
            repository=repository,
            request_bytes=work.questions[0].content_bytes,
        )


def load_of(capacity: float, share: float) -> OpenLoop:
    """Poisson arrivals at a share of the capacity."""
    return OpenLoop(rate=share * capacity)


ALONE, FULL = ClosedLoop(clients=1), ClosedLoop(clients=MANY)


class _Cores(NamedTuple):
    """Seconds of all cores together since the machine started."""

    busy: float
    all: float


def _all_cores() -> _Cores:
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    second = os.sysconf("SC_CLK_TCK")
    idle = ticks[3] + ticks[4]  # of them while something waited for a disk
    return _Cores(busy=(sum(ticks) - idle) / second, all=sum(ticks) / second)


def _medians(rounds: Sequence[Trial]) -> Mapping[str, float]:
    parts = dict.fromkeys(part for trial in rounds for part in trial.server.core_ms)
    return {
        part: statistics.median(trial.server.core_ms.get(part, 0.0) for trial in rounds) for part in parts
    }


def _batches(rounds: Sequence[Trial]) -> dict[int, tuple[int, float]]:
    return batches([step for trial in rounds for step in trial.server.steps if step.model == ENGINE])
