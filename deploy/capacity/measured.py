"""What was measured of one server, and the service times that follow from it.

Two loads have it all: one client, who finds the server idle, and so many that it is busy all the time. The
processor time of an answer by process in both are its service times, and how the latencies of the one client
differ is their spread. The rate of the many is no input: it depends on how their requests meet in batches.
"""

import dataclasses
import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.serving.host_settings import HostSettings
from deploy.capacity.queueing.loads import closed_loop
from deploy.capacity.queueing.service_times import IN_FLIGHT, Engine, ServiceTimes, Step, Work
from deploy.loadtest.loads import ClosedLoop
from deploy.loadtest.results import Run, Stage
from deploy.loadtest.results import Step as StageStep
from qface_client.measuring.histogram import Histogram, bounds

ENGINE, CLIENT, GATEWAY, TRITON = "face_engine", "client", "gateway", "tritonserver"
_HOLDING = frozenset({"photo_analysis", "face_detect"})  # one photo a process, which waits for the engine
_BEHIND = "_postprocess"
FEWEST = 0.02  # of the requests: fewer are the gateway's own, which look whether a model answers
NOISE = 0.05  # core-ms a request: what a process that has no part in it may seem to take
_NEARLY_ALL = 0.9
_FIT_REQUESTS = 1000
_LARGE_PARTS = (
    0.8  # parts of a batch by its faces: with more, batches were too small to show what a part takes
)
HOW = (
    "measure the server on its own machine with one client and with many, as "
    "`python -m deploy.loadtest --clients 1 16 --output var/loadtest`"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """One server under two loads; times of processors in core-ms an answer, by process.

    cores           of its machine
    instances       processes by model
    streams         of the engine, 1 where it runs on a device of its own
    alone, busy     of one client, and of many
    latency         [n] seconds of the one client's answers
    clients, rate   the many, and the answers a second that they got
    faces           of an answer
    engine          executions by size of a batch, with the mean milliseconds of one, of both loads
    busy_engine     the same of the many
    shares          of the requests that come to a model; one that is not named has no part in them
    in_flight       requests that the gateway let be with Triton; 0: unknown
    request_bytes, answer_bytes     0: unknown
    notes           sentences on what makes this doubtful
    """

    cores: int
    instances: Mapping[str, int]
    streams: int
    alone: Mapping[str, float]
    busy: Mapping[str, float]
    latency: NDArray[np.float64]
    clients: int
    rate: float
    faces: float
    shares: Mapping[str, float]
    engine: Mapping[int, tuple[int, float]] = dataclasses.field(default_factory=dict)
    busy_engine: Mapping[int, tuple[int, float]] = dataclasses.field(default_factory=dict)
    in_flight: float = 0.0
    others: float = 0.0
    request_bytes: float = 0.0
    answer_bytes: float = 0.0
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if GATEWAY not in self.busy or TRITON not in self.busy or not len(self.latency):
            raise ValueError(f"the processor time of an answer is not known by process: {HOW}")
        if ENGINE not in self.busy and not self.engine:
            raise ValueError(f"what the engine takes for a batch is not known: {HOW}")

    @property
    def rate_without_clients(self) -> float:
        """What the many would have got had their own processor time been left to the server."""
        whole = sum(self.busy.values())
        return self.rate * whole / (whole - self.busy.get(CLIENT, 0.0))

    def service_times(self, *, queue_seconds: float = 0.8) -> ServiceTimes:
        """By which the simulated server has the unloaded latency: `outside` is found so."""
        times = ServiceTimes(
            cores=self.cores,
            gateway=self._work(GATEWAY),
            triton=self._work(TRITON),
            client=self._work(CLIENT),
            client_here=CLIENT in self.busy,
            engine=self._engine(),
            before=[*self._steps(holds=False, behind=False), *self._steps(holds=True, behind=False)],
            behind=self._steps(holds=False, behind=True),
            rows=self.faces,
            spread=self.latency / self.latency.mean(),
            in_flight=self.in_flight or IN_FLIGHT,
            full_speed=1 - self.others,
            queue_seconds=queue_seconds,
        )
        alone = closed_loop(times, clients=1, requests=_FIT_REQUESTS, seed=0).mean
        return dataclasses.replace(times, outside=float(self.latency.mean()) - alone)

    def _work(self, part: str) -> Work:
        return Work(alone=self.alone.get(part, 0.0) / 1e3, busy=self.busy.get(part, 0.0) / 1e3)

    def _steps(self, *, holds: bool, behind: bool) -> list[Step]:
        found = [
            name
            for name, core_ms in self.busy.items()
            if max(core_ms, self.alone.get(name, 0.0)) >= NOISE
            and name in self.instances
            and name != ENGINE
            and self.shares.get(name, 0.0) >= FEWEST
            and (name in _HOLDING) == holds
            and name.endswith(_BEHIND) == behind
        ]
        return [
            Step(
                name=name,
                processes=self.instances[name],
                work=self._work(name) * (1 / self.shares[name]),
                share=self.shares[name],
                holds=holds,
            )
            for name in found
        ]

    def _engine(self) -> Engine:
        instances = self.instances.get(ENGINE, 1)
        if ENGINE not in self.busy:
            seconds = {size: each / 1e3 for size, (_, each) in self.engine.items()}
            return Engine(instances=instances, seconds=seconds)
        row = self._work(ENGINE) * (1 / self.faces if self.faces else 0.0)
        engine = Engine(instances=instances, streams=self.streams)
        parts = sum(count * len(engine.parts(size)) for size, (count, _) in self.busy_engine.items())
        faces = sum(count * size for size, (count, _) in self.busy_engine.items())
        if not faces or parts / faces > _LARGE_PARTS:
            return dataclasses.replace(engine, row=row)
        # One face alone is a part; with many clients a face had parts/faces of one.
        part = min(row.alone, max(0.0, (row.alone - row.busy) / (1 - parts / faces)))
        each = row.alone - part
        return dataclasses.replace(engine, part=Work(alone=part, busy=part), row=Work(alone=each, busy=each))


def measured_of(run: Run) -> Measured:
    """From a load test's report; ValueError says what it lacks, and with which command that is measured."""
    loops = [stage for stage in run.plan if isinstance(stage.load, ClosedLoop) and stage.latency.count]
    alone = next((stage for stage in loops if _clients(stage) == 1), None)
    many = max((stage for stage in loops if _clients(stage) > 1), key=lambda stage: stage.rate, default=None)
    if alone is None or many is None:
        missing = "one client" if alone is None else "many clients"
        raise ValueError(f"the report has no load of {missing}: {HOW}")
    if not alone.server.core_ms or not many.server.core_ms:
        raise ValueError(f"the report has no processor time by process, as the server ran elsewhere: {HOW}")
    cores = _at(run.about, "machine", "cores")
    if not isinstance(cores, int):
        raise ValueError(f"the report lacks the cores of the machine: {HOW}")
    on_device = ENGINE not in many.server.core_ms
    settings = HostSettings.for_host("gpu" if on_device else "cpu", cores)
    work = _at(run.about, "work")
    served = _at(run.about, "serves", "instances") or _instances(settings)
    return Measured(
        cores=cores,
        instances={name: int(count) for name, count in served.items()},
        streams=1
        if on_device
        else int(_at(run.about, "serves", "engine", "streams") or settings.engine.streams),
        alone=alone.server.core_ms,
        busy=many.server.core_ms,
        latency=_latencies(alone.latency),
        clients=_clients(many),
        rate=many.rate,
        faces=many.faces * many.seconds / many.latency.count,
        engine=batches(_engine_steps(alone, many)),
        busy_engine=batches(_engine_steps(many)),
        shares=shares(many.server.steps, answers=many.rate * many.seconds),
        in_flight=many.server.in_flight_limit,
        request_bytes=_mean_bytes(work, "bytes"),
        answer_bytes=_mean_bytes(work, "answer_bytes"),
        notes=_notes(alone, many),
    )


def _clients(stage: Stage) -> int:
    assert isinstance(stage.load, ClosedLoop)
    return stage.load.clients


def _at(data: Any, *keys: str) -> Any:
    """What lies there in plain data; None where nothing does."""
    return functools.reduce(
        lambda held, key: held.get(key) if isinstance(held, Mapping) else None, keys, data
    )


def _instances(settings: HostSettings) -> dict[str, int]:
    """Of a report that doesn't name them: the defaults of such a host."""
    names = ("face_preprocess", "crop_preprocess", "face_postprocess", "photo_analysis", "face_detect")
    return {name: getattr(settings, name).instances for name in names} | {ENGINE: settings.engine.instances}


def _latencies(histogram: Histogram) -> NDArray[np.float64]:
    """One for each request that it counts."""
    return np.repeat(np.minimum(bounds(), histogram.most), histogram.counts)


def batches(steps: Iterable[StageStep]) -> dict[int, tuple[int, float]]:
    """Executions of a model by the size of a batch, with the mean milliseconds of one, in all these."""
    counts, sums = Counter[int](), defaultdict[int, float](float)
    for step in steps:
        for size, (count, each) in step.infer_by_batch.items():
            counts[int(size)] += count
            sums[int(size)] += count * each
    return {size: (count, sums[size] / count) for size, count in sorted(counts.items()) if size and count}


def _engine_steps(*stages: Stage) -> list[StageStep]:
    return [step for stage in stages for step in stage.server.steps if step.model == ENGINE]


def shares(steps: Iterable[StageStep], *, answers: float) -> dict[str, float]:
    """Of the requests, by model: nearly all are all."""
    found = {step.model: step.requests / answers for step in steps}
    return {model: 1.0 if share > _NEARLY_ALL else round(share, 3) for model, share in found.items()}


def _mean_bytes(work: Any, key: str) -> float:
    kinds = [each for each in work if isinstance(each, Mapping)] if isinstance(work, list | tuple) else []
    sizes = [(each.get("share", 1.0), each[key]) for each in kinds if each.get(key)]
    if not all(isinstance(number, int | float) for size in sizes for number in size):
        raise ValueError(f"the report's work has {key} or a share that is no number: {HOW}")
    shares = sum(share for share, _ in sizes)
    return sum(share * size for share, size in sizes) / shares if shares else 0.0


def _notes(alone: Stage, many: Stage) -> list[str]:
    notes = [
        f"{stage.load.name}: {stage.generator.limit}" for stage in (alone, many) if stage.generator.limit
    ]
    notes += [
        f"{stage.load.name}: the stage had not settled, or ended early"
        for stage in (alone, many)
        if not stage.stable or stage.ended
    ]
    if CLIENT in many.server.core_ms:
        notes.append(
            f"the clients ran on the server's machine: their {many.server.core_ms[CLIENT]:.1f} core-ms an "
            "answer are subtracted, and count as a delay alone"
        )
    if len(many.latency_by_kind()) > 1:
        notes.append("several kinds of requests were measured together: each counts as their mean")
    return notes
