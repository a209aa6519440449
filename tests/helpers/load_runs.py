"""Runs of a load test as they come of a queue of known service times, simulated: no server, no clock."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from deploy.loadtest.loads import ClosedLoop, Load, OpenLoop
from deploy.loadtest.results import Failure, Generator, Peer, Run, Search, Server, Stage, Step, Window
from qface_client.measuring.histogram import Histogram

PARTS: Mapping[str, float] = {"decode": 0.006, "engine": 0.018, "postprocess": 0.004}  # seconds of service
WAY = 0.0015  # seconds that an answer takes besides
KINDS: Mapping[str, tuple[float, int]] = {"photo of one face": (1.0, 1), "photo of 4 faces": (1.8, 4)}
REFUSED = "RESOURCE_EXHAUSTED"
SENTENCE = "64 requests wait, as many as may: try again in 0.5 s"


def simulated_stage(
    load: Load,
    *,
    section: str = "sweep",
    windows: int = 10,
    window_seconds: float = 3.0,
    parts: Mapping[str, float] = PARTS,
    servers: int = 2,
    places: int = 64,
    stall: tuple[float, float] | None = None,
    seed: int = 0,
) -> Stage:
    """What a load meets at a queue of so many servers, which refuses what finds no place.

    stall: when, in seconds since the stage began, no server begins anything, and for how long
    """
    random = np.random.default_rng(seed)
    seconds = windows * window_seconds
    service = sum(parts.values())
    free = [0.0] * servers
    ends: list[float] = []  # of what is under way
    waiting = _arrivals(load, seconds, random)
    records = []  # due, ended, kind, code
    while waiting:
        due = heapq.heappop(waiting)
        if due >= seconds:
            continue
        kind = int(random.integers(len(KINDS)))
        factor, _ = list(KINDS.values())[kind]
        while ends and ends[0] <= due:
            heapq.heappop(ends)
        refused = len(ends) >= places
        if refused:
            ended = due + 0.002
        else:
            begin = max(due, heapq.heappop(free))
            if stall is not None and stall[0] <= begin < sum(stall):
                begin = sum(stall)
            took = service * factor * float(random.lognormal(0.0, 0.15))
            heapq.heappush(free, begin + took)
            ended = begin + took + WAY
            heapq.heappush(ends, ended)
        records.append((due, ended, kind, refused))
        if isinstance(load, ClosedLoop):
            heapq.heappush(waiting, ended + float(random.exponential(0.0005)))
    return _stage(load, section, records, windows, window_seconds, parts, servers)


def simulated_run(stages: Sequence[Stage], **fields: object) -> Run:
    """A run of these stages, with everything else that a report shows."""
    return Run(
        **{
            "about": {
                "date": "2026-11-29T12:00:00+00:00",
                "commit": "0123456789abcdef",
                "command": "python -m deploy.loadtest --slo 'p99<200ms'",
                "machine": {"processor": "A processor", "cores": 2, "memory_gib": 15.6},
                "target": {"protocol": "grpc", "address": "127.0.0.1:8001", "secure": False},
                "serves": {"server": "triton", "version": "2.51.0", "models": ["photo_analysis"]},
                "work": [
                    {"kind": kind, "model": "photo_analysis", "share": 0.5, "bytes": 48_211 * faces}
                    for kind, (_, faces) in KINDS.items()
                ],
                "settings": {"seconds": 30.0, "window": 3.0, "spread": 0.1, "seed": 0, "slo": "p99<200ms"},
            },
            "stages": tuple(stages),
            **fields,
        }  # type: ignore[arg-type]
    )


def whole_run() -> Run:
    """A run with all that a run may have: every section, errors, a stall, a search, peers."""
    sweep = [simulated_stage(ClosedLoop(clients=clients), seed=clients) for clients in (1, 2, 4, 8, 16, 32)]
    rates = [
        simulated_stage(OpenLoop(rate=rate), section="rates", windows=20, seed=int(rate))
        for rate in (10, 20, 30, 40, 55)
    ] + [simulated_stage(OpenLoop(rate=20, arrivals="bursty"), section="rates", seed=7)]
    search = [
        simulated_stage(OpenLoop(rate=rate), section="search", windows=5, seed=int(10 * rate))
        for rate in (20, 40, 30, 35)
    ]
    soak = [
        simulated_stage(OpenLoop(rate=25), section="soak", windows=60, window_seconds=5.0, stall=(120.0, 5.0))
    ]
    beside = [
        simulated_stage(load, section="peers", windows=3, seed=seed)
        for load in (ClosedLoop(clients=16), OpenLoop(rate=30))
        for seed in range(2)
    ]
    return simulated_run(
        [*sweep, *rates, *search, *soak, *beside],
        searches=(
            Search(
                objective="p99<200ms",
                arrivals="poisson",
                rate=35.0,
                sentence="40/s did not keep it, 35/s did: within 15 %",
            ),
        ),
        peers=(
            Peer(
                tool="perf_analyzer 2.60.0",
                scenario="16 concurrent requests",
                kind="photo of one face",
                beside="16 clients",
                rate=52.1,
                percentiles={"p50": 0.33, "p90": 0.41, "p99": 0.52},
                command="perf_analyzer -m photo_analysis --concurrency-range 16",
            ),
            Peer(
                tool="MLPerf LoadGen 5.1",
                scenario="Server, 30 a second",
                kind="photo of one face",
                beside="30/s, poisson",
                rate=29.7,
                percentiles={"p50": 0.05, "p90": 0.11, "p99": 0.21},
                command="python -m deploy.loadtest.peers --only loadgen",
                valid="VALID",
                notes=("it asks for one kind only: the mix of ours has photos of four faces",),
            ),
        ),
    )


def _arrivals(load: Load, seconds: float, random: np.random.Generator) -> list[float]:
    if isinstance(load, ClosedLoop):
        return sorted(random.uniform(0.0, 0.01, size=load.clients).tolist())
    return load.dues(seconds=seconds, share=1.0, random=random).tolist()


def _stage(
    load: Load,
    section: str,
    records: Sequence[tuple[float, float, int, bool]],
    windows: int,
    window_seconds: float,
    parts: Mapping[str, float],
    servers: int,
) -> Stage:
    names = list(KINDS)
    kept = []
    for index in range(windows):
        begin, end = index * window_seconds, (index + 1) * window_seconds
        mine = [record for record in records if begin <= record[0] < end]
        answered = [record for record in mine if not record[3]]
        kept.append(
            Window(
                begin=begin,
                seconds=window_seconds,
                due=len(mine),
                ended=sum(begin <= record[1] < end and not record[3] for record in records),
                faces=sum(KINDS[names[record[2]]][1] for record in answered),
                codes=Counter(REFUSED if record[3] else "OK" for record in mine),
                latency={
                    name: Histogram.of([ended - due for due, ended, kind, _ in answered if kind == number])
                    for number, name in enumerate(names)
                },
            )
        )
    refused = [due for due, _, _, out in records if out]
    arrived = sorted(ended for _, ended, _, out in records if not out)
    gaps = np.diff(arrived)
    warm_up = min(2, windows - 1)
    answers = [record for record in records if not record[3] and record[0] >= warm_up * window_seconds]
    return Stage(
        section=section,
        load=load,
        windows=tuple(kept),
        warm_up=warm_up,
        stable=not refused,
        generator=Generator(
            processes=2,
            late_p99=0.0009 if isinstance(load, OpenLoop) else 0.0,
            busiest=0.21,
            core_seconds=0.0021 * len(records),
        ),
        failures=(
            (Failure(code=REFUSED, count=len(refused), first=refused[0], last=refused[-1], details=SENTENCE),)
            if refused
            else ()
        ),
        server=_server(answers, parts, servers, windows - warm_up),
        gap=float(gaps.max()) if len(gaps) else 0.0,
        gap_begin=arrived[int(gaps.argmax())] if len(gaps) else 0.0,
    )


def _server(
    answers: Sequence[tuple[float, float, int, bool]], parts: Mapping[str, float], servers: int, rounds: int
) -> Server:
    split = {}
    for number, (kind, (factor, _)) in enumerate(KINDS.items()):
        latency = [ended - due for due, ended, which, _ in answers if which == number]
        if latency:
            mean = 1000 * float(np.mean(latency))
            own = {part: 1000 * factor * seconds for part, seconds in parts.items()}
            way = 1000 * WAY
            queue = max(0.0, mean - sum(own.values()) - way)
            split[kind] = {"queue": queue, **own, "network and client": way}
    mean_factor = float(np.mean([factor for factor, _ in KINDS.values()]))
    core_ms = {part: 1000 * mean_factor * seconds for part, seconds in parts.items()}
    core_ms |= {"gateway": 1.9, "client": 2.4}
    random = np.random.default_rng(len(answers))
    return Server(
        parts=split,
        steps=(
            Step(
                model="photo_analysis",
                requests=len(answers),
                batch=1.0,
                queue=12.0,
                copy_in=0.1,
                infer=28.0,
                copy_out=0.1,
            ),
            Step(
                model="face_engine",
                requests=2 * len(answers),
                batch=3.7,
                queue=2.0,
                copy_in=0.3,
                infer=18.0,
                copy_out=0.2,
                infer_by_batch={"1": (10, 12.5), "8": (4, 61.25)},
            ),
        ),
        core_ms=core_ms,
        core_ms_rounds={
            name: (value * random.lognormal(0.0, 0.02, size=rounds)).tolist()
            for name, value in core_ms.items()
        },
        memory={"gateway": 212 << 20, "tritonserver": 480 << 20, "photo_analysis": 310 << 20},
    )
