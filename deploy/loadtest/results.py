"""What a load test measured, as it is kept: JSON in, JSON out.

A run has stages, a stage has windows of equal length. A request belongs to the window in which it was due
(open loop) or sent (closed loop), whenever it was answered; its latency counts from then.
"""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from deploy.loadtest.loads import ClosedLoop, Load, OpenLoop
from deploy.measuring.plain_data import check_types, write_json
from qface_client.measuring.histogram import Histogram

FORMAT = 1
PEERS = "peers"  # the section of our own loads that stand beside other tools', each of one kind of request


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """Some seconds of a stage.

    begin       seconds since the stage began
    due         requests that were due in it
    ended       answers that arrived in it, whenever they were due
    faces       of the answers to the requests that were due in it
    codes       how those requests ended; OK for answers
    latency     of their answers, from when each was due, by kind
    """

    begin: float
    seconds: float
    due: int
    ended: int
    faces: int
    codes: Mapping[str, int]
    latency: Mapping[str, Histogram]

    @property
    def all_latency(self) -> Histogram:
        return Histogram.merged(self.latency.values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """Requests that ended with one status."""

    code: str
    count: int
    first: float  # seconds since the stage began
    last: float
    details: str  # the first one's sentence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generator:
    """What the generator measured of itself in a stage.

    late_p99        seconds after it was due that a request went out, 99th percentile; 0 of a closed loop
    busiest         share of a core that the busiest of its processes took
    core_seconds    of all its processes
    limit           a sentence where the generator and not the server may have been the limit; else ""
    """

    processes: int
    late_p99: float
    busiest: float
    core_seconds: float
    limit: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One model's part of a stage, from the server's own statistics, in milliseconds of a request of it.

    requests    executions, by requests
    batch       requests that were computed at a time, on average
    queue, copy_in, infer, copy_out     means; of an ensemble `infer` is the time of its steps
    failed      requests that failed
    infer_by_batch      size of a batch -> executions with it, and the mean `infer` of one
    """

    model: str
    requests: int
    batch: float
    queue: float
    copy_in: float
    infer: float
    copy_out: float
    failed: int = 0
    infer_by_batch: Mapping[str, tuple[int, float]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """The server's side of a stage; what can't be had there is empty.

    parts       where the time of a request of a kind went, in milliseconds, in order: they add up to the
                mean latency ("queue", "decode", "engine", "copies", "network and client" ...)
    steps       of each model
    core_ms     processor time of an answer by process, "client" among them, where all run here
    core_ms_rounds  the same in equal parts of the measured time, one after the other, where they were taken
    memory      bytes held by process at the end, where all run here
    refused     requests that a gateway turned away, by its reason
    in_flight_limit     requests that the gateway let be with Triton at once, at the end; 0: not known
    notes       sentences on what could not be measured, and why
    """

    parts: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    steps: Sequence[Step] = ()
    core_ms: Mapping[str, float] = dataclasses.field(default_factory=dict)
    core_ms_rounds: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    memory: Mapping[str, int] = dataclasses.field(default_factory=dict)
    refused: Mapping[str, int] = dataclasses.field(default_factory=dict)
    in_flight_limit: float = 0.0
    notes: Sequence[str] = ()


def waits(part: str) -> bool:
    """Whether in this part of its time a request waits for others' work instead of being worked on."""
    return part == "queue" or part.startswith("waiting")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One load, for some time.

    section     which part of the run: "sweep", "rates", "search", "soak"
    windows     all, the warm-up's too
    warm_up     how many of the first windows are not measured
    stable      whether three windows in a row lay within the spread; how the run states it: `settings`
    gap         the longest time, in seconds, in which no answer arrived though requests were under way
    gap_begin   when it began, in seconds since the stage began
    ended       a sentence where the stage ended before its time (the server died, an interruption); else ""
    """

    section: str
    load: Load
    windows: Sequence[Window]
    warm_up: int
    stable: bool
    generator: Generator
    failures: Sequence[Failure] = ()
    server: Server = Server()
    gap: float = 0.0
    gap_begin: float = 0.0
    ended: str = ""

    @property
    def measured(self) -> Sequence[Window]:
        return self.windows[self.warm_up :]

    @property
    def seconds(self) -> float:
        return sum(window.seconds for window in self.measured)

    @property
    def latency(self) -> Histogram:
        """Of the answers to what was due in the measured windows."""
        return Histogram.merged(window.all_latency for window in self.measured)

    def latency_by_kind(self) -> dict[str, Histogram]:
        kinds = dict.fromkeys(kind for window in self.measured for kind in window.latency)
        return {
            kind: Histogram.merged(window.latency[kind] for window in self.measured if kind in window.latency)
            for kind in kinds
        }

    @property
    def codes(self) -> Counter[str]:
        """Ends of what was due in the measured windows."""
        return sum((Counter(window.codes) for window in self.measured), Counter())

    @property
    def due(self) -> int:
        return sum(window.due for window in self.measured)

    @property
    def offered(self) -> float:
        """Requests a second that were due."""
        return _ratio(self.due, self.seconds)

    @property
    def rate(self) -> float:
        """Answers a second that arrived."""
        return _ratio(sum(window.ended for window in self.measured), self.seconds)

    @property
    def faces(self) -> float:
        """Faces a second, of the answers to what was due."""
        return _ratio(sum(window.faces for window in self.measured), self.seconds)

    @property
    def error_share(self) -> float:
        """Of what was due, what got no answer; NaN where nothing was due."""
        return _ratio(self.due - self.codes["OK"], self.due)

    def goodput(self, seconds: float) -> float:
        """Answers a second, of what was due, that took at most so long."""
        latency = self.latency
        return _ratio(latency.count * latency.share_below(seconds), self.seconds) if latency.count else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """The highest rate that keeps an objective, found by trying.

    rate        requests a second; None: no rate that was tried keeps it
    sentence    how it ended
    """

    objective: str
    arrivals: str
    rate: float | None
    sentence: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peer:
    """What another tool measured of the same work.

    tool        its name and version
    scenario    how it loads, in words
    beside      the name of our own load of the same form, by which its figures are compared
    rate        answers a second
    percentiles "p50" ... in seconds
    valid       its own verdict, where it has one
    notes       overridden rules; why it differs by more than 10 %
    """

    tool: str
    scenario: str
    kind: str
    beside: str
    rate: float
    percentiles: Mapping[str, float]
    command: str
    valid: str = ""
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A whole load test.

    about       date, commit, command, machine, target (protocol, address, secure; no key), what it serves,
                work (kinds with shares and bytes), settings (seconds, window, spread, deadline, seed ...)
    ended       a sentence where it ended early; else ""
    """

    about: Mapping[str, Any]
    stages: Sequence[Stage]
    searches: Sequence[Search] = ()
    peers: Sequence[Peer] = ()
    ended: str = ""

    @property
    def plan(self) -> Sequence[Stage]:
        """The stages without those that stand beside other tools', which may be of other requests."""
        return [stage for stage in self.stages if stage.section != PEERS]

    def write(self, path: Path) -> None:
        """Keeps the run as JSON, whole or not at all; ValueError for a value that JSON does not have."""
        plain = _plain(self)
        _check_plain(plain, "run")
        beside = path.with_name(f"{path.name}.part")
        write_json({"format": FORMAT, **plain}, beside)
        beside.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """A kept run; ValueError with a sentence for a file that is none or can't be read."""
        try:
            data = json.loads(path.read_text(), parse_constant=_refuse_constant)
            if data.pop("format") != FORMAT:
                raise ValueError("another format")
            run = cls(
                about=data["about"],
                stages=tuple(_stage(each) for each in data["stages"]),
                searches=tuple(Search(**each) for each in data["searches"]),
                peers=tuple(Peer(**each) for each in data["peers"]),
                ended=data["ended"],
            )
            check_types(run, cls, "run")
            return run
        except OSError as error:
            raise ValueError(
                f"{path} can't be read ({error.strerror}): give a report.json of deploy.loadtest"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
            raise ValueError(
                f"{path} is not a run of deploy.loadtest ({type(error).__name__}: {error}): "
                "give a report.json that it wrote"
            ) from None


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number")


def _check_plain(value: Any, name: str) -> None:
    """ValueError with the name of the first value that JSON does not have: NaN, infinity, an object."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}, which JSON does not have: leave out what was not measured")
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check_plain(each, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            _check_plain(each, f"{name}[{index}]")
    elif value is not None and not isinstance(value, str | int | float):
        raise ValueError(f"{name} is a {type(value).__name__}, which JSON does not have: keep plain data")


def _plain(value: Any) -> Any:
    if isinstance(value, Histogram):
        return value.to_json()
    if isinstance(value, ClosedLoop | OpenLoop):
        return {"loop": type(value).__name__, **dataclasses.asdict(value)}
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


_LOOPS: Mapping[str, type[ClosedLoop] | type[OpenLoop]] = {
    loop.__name__: loop for loop in (ClosedLoop, OpenLoop)
}


def _stage(data: Mapping[str, Any]) -> Stage:
    load = dict(data["load"])
    server = data["server"]
    return Stage(
        **{
            **data,
            "load": _LOOPS[load.pop("loop")](**load),
            "windows": tuple(_window(each) for each in data["windows"]),
            "generator": Generator(**data["generator"]),
            "failures": tuple(Failure(**each) for each in data["failures"]),
            "server": Server(**{**server, "steps": tuple(_step(each) for each in server["steps"])}),
        }
    )


def _step(data: Mapping[str, Any]) -> Step:
    batches = {size: (int(count), float(mean)) for size, (count, mean) in data["infer_by_batch"].items()}
    return Step(**{**data, "infer_by_batch": batches})


def _window(data: Mapping[str, Any]) -> Window:
    latency = {kind: Histogram.from_json(each) for kind, each in data["latency"].items()}
    return Window(**{**data, "latency": latency})
