"""ServerSide: looks at a server's counters around the measured part of a stage, and what they add up to."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from types import TracebackType
from typing import Self

from deploy.loadtest.protocols.base import Target
from deploy.loadtest.results import Server
from deploy.loadtest.server.local import LocalServer, server_roots
from deploy.loadtest.server.metrics import Page, page_of
from deploy.loadtest.server.model_graph import ModelGraph
from deploy.loadtest.server.sources import PageReader, Source, source_of
from deploy.loadtest.server.spans import SpanReceiver
from deploy.loadtest.server.split import NOISE, Measured, split
from deploy.loadtest.server.statistics import Counters, counters_of, difference, step_of
from deploy.loadtest.work.question import Question
from qface_client.measuring.histogram import Histogram
from qface_client.measuring.sample import CLIENT, Sample

# The ports of `make serve`: where a target has one of them, the others are looked for beside it.
_REST_PORT, _GRPC_PORT, _METRICS_PORT = "8000", "8001", "8002"
IDLE_MODELS = "idle models"
_OTHERS = 0.1  # share of further requests from which on others call the server too
_FEW = 20  # requests, in which looks and the load may differ anyway
_LEAST = 0.05  # core-ms of an answer: processes with less have no part in it
_BUSY = 0.5  # cores from which on a server is not idle


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """A server's counters at one moment; None for what could not be read.

    at          time.monotonic
    wall        nanoseconds of the wall clock, by which spans are dated
    processor   seconds by part; changes: how often the server's processes had changed by then
    """

    at: float
    wall: int
    processor: Mapping[str, float] | None
    changes: int
    notes: Sequence[str]
    statistics: Mapping[str, Counters] | None = None
    page: Page | None = None


class ServerSide:
    """Made by `server_side`. Nothing here raises for what a server does not have: it is a note."""

    def __init__(
        self,
        *,
        models: Mapping[str, Sequence[str]],
        source: Source | None,
        graph: ModelGraph,
        metrics_url: str,
        local: LocalServer | None,
        spans: SpanReceiver | None,
        bare: bool,
        notes: Sequence[str],
    ) -> None:
        self._models = models
        self._source = source
        self._graph = graph
        self._metrics_url = metrics_url
        self._local = local
        self._spans = spans
        self._bare = bare
        self._notes = notes
        self._pages = PageReader()
        self._begun: Look | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._source is not None:
            self._source.close()

    def begin(self) -> None:
        """The measured part of a stage begins."""
        self._begun = self.look()

    def end(self, *, latency: Mapping[str, Histogram], client_core_seconds: float) -> Server:
        """It has ended; the arguments are those of `between`."""
        assert self._begun is not None
        return self.between(
            self._begun, self.look(), latency=latency, client_core_seconds=client_core_seconds
        )

    def look(self) -> Look:
        """The counters now; takes milliseconds, and up to 20 seconds where the server does not answer."""
        look = self.look_at_processes()
        notes = [*look.notes]
        statistics = None
        if self._source is not None:
            with _noted(notes, "the models' statistics can't be read"):
                statistics = counters_of(self._source.statistics())
        page = None
        if self._metrics_url:
            with _noted(notes, "the gateway's metrics can't be read"):
                page = page_of(self._pages.read(self._metrics_url).decode())
        return dataclasses.replace(look, statistics=statistics, page=page, notes=notes)

    def look_at_processes(self) -> Look:
        """The processor time now and nothing else, for `core_ms` of a part of a stage; asks no server."""
        notes: list[str] = []
        at, wall = time.monotonic(), time.time_ns()
        processor = None
        if self._local is not None:
            with _noted(notes, "its processor time can't be read"):
                processor = self._local.seconds()
        return Look(
            at=at,
            wall=wall,
            processor=processor,
            changes=0 if self._local is None else self._local.changes,
            notes=notes,
        )

    def between(
        self,
        before: Look,
        after: Look,
        *,
        latency: Mapping[str, Histogram],
        client_core_seconds: float,
        arrived: int | None = None,
    ) -> Server:
        """The server's side of what was sent between two looks.

        latency     of the answers, by kind
        arrived     answers between the looks, whenever they were due; None: those of `latency`
        client_core_seconds     processor time of those who sent, in that time
        """
        notes = [*self._notes, *before.notes, *after.notes]
        gateway = _page_between(before, after, notes)
        spent = _spent_between(before, after, notes)
        measured = Measured(
            spent=spent,
            graph=self._graph,
            gateway=gateway,
            phases={} if self._spans is None else self._spans.phases(before.wall, after.wall),
            bare=self._bare,
        )
        answers = sum(each.count for each in latency.values())
        all_core_ms = self.core_ms(
            before,
            after,
            answers=answers if arrived is None else arrived,
            client_core_seconds=client_core_seconds,
        )
        core_ms = {process: each for process, each in all_core_ms.items() if each >= _LEAST}
        if after.changes != before.changes:
            notes.append("no core-ms: processes of the server ended or began while it was measured")
        return Server(
            parts=self._parts(measured, latency, notes),
            steps=[step_of(model, spent[model]) for model in self._loaded(spent, answers)],
            core_ms=core_ms,
            memory=self._memory(idle=set(after.statistics or ()) - set(core_ms) if core_ms else set()),
            refused={} if gateway is None else {key: int(count) for key, count in gateway.refused.items()},
            in_flight_limit=0.0 if gateway is None else gateway.in_flight_limit,
            notes=list(dict.fromkeys(notes)),
        )

    def core_ms(
        self, before: Look, after: Look, *, answers: int, client_core_seconds: float
    ) -> dict[str, float]:
        """Processor time of an answer between two looks, in milliseconds by process, CLIENT among them.

        Without what the processes take while nobody calls. Empty where the server is on another machine,
        where its processes changed in between, and where nothing was answered.
        """
        if self._local is None or before.processor is None or after.processor is None or not answers:
            return {}
        if after.changes != before.changes:
            return {}
        spent = {part: now - before.processor.get(part, 0.0) for part, now in after.processor.items()}
        sample = Sample(
            answers=answers,
            seconds=after.at - before.at,
            core_seconds={CLIENT: client_core_seconds, **spent},
        )
        return sample.without_idle(self._local.idle).core_ms

    # -- within -------------------------------------------------------------------------------------

    def _loaded(self, spent: Mapping[str, Counters], answers: int) -> list[str]:
        """The models on the load's way, and others that answer as much: not those that a canary looks at."""
        way = self._graph.reached(list(self._models))
        return sorted(
            model for model, each in spent.items() if model in way or each.requests > _OTHERS * answers
        )

    def _memory(self, *, idle: Set[str]) -> dict[str, int]:
        """Bytes by role; those of idle models together."""
        held = {} if self._local is None else self._local.memory()
        together = sum(size for role, size in held.items() if role in idle)
        busy = {role: size for role, size in held.items() if role not in idle}
        return busy | ({IDLE_MODELS: together} if together else {})

    def _parts(
        self, measured: Measured, latency: Mapping[str, Histogram], notes: list[str]
    ) -> dict[str, Mapping[str, float]]:
        parts: dict[str, Mapping[str, float]] = {}
        users: dict[str, list[str]] = {}  # of each step
        for model, kinds in self._models.items():
            answered = Histogram.merged(latency[kind] for kind in kinds if kind in latency)
            if not answered.count:
                continue
            found = split(model, latency_ms=1e3 * answered.mean, measured=measured)
            if not found.parts:
                continue
            name = kinds[0]
            if len(kinds) > 1:
                name = model
                quoted = " and ".join(map(repr, kinds))
                notes.append(f"the server counts by model: {quoted} are one row, {model}")
            parts[name] = found.parts
            if found.excess > NOISE:
                notes.append(
                    f"{name}: the server counted {found.excess:.2f} times the time that clients measured, as "
                    "its requests are not the very same: its parts are scaled to fit"
                )
            counted = measured.spent[model].requests if model in measured.spent else 0
            if counted > answered.count * (1 + _OTHERS) + _FEW:
                notes.append(
                    f"the server answered {counted} requests of {model}, of which the load test had "
                    f"{answered.count}: others call it too, or answers came late"
                )
            if hidden := self._graph.beside(model, measured.spent):
                notes.append(f"{name}: {', '.join(hidden)} runs beside a longer step, and is no part")
            for visit in self._graph.visits(model, measured.spent):
                users.setdefault(visit.model, []).append(name)
        for step, names in users.items():
            if len(names) > 1 and step in measured.spent:
                notes.append(f"{step} is shared by {', '.join(names)}: its mean request stands for each")
        return parts


def server_side(
    target: Target,
    questions: Sequence[Question],
    *,
    supervisor_pid: int | None = None,
    grpc_address: str = "",
    metrics_url: str = "",
    spans: SpanReceiver | None = None,
) -> ServerSide:
    """What can be had of a server's side; ConnectionError and the like become notes.

    supervisor_pid  of a gateway that this process started
    grpc_address    "HOST:PORT" where statistics come from, for a protocol without any
    metrics_url     of the gateway's page
                    "" of either: the usual port is tried where the target has a usual one
    spans           where the gateway's spans come to
    """
    notes: list[str] = []
    models: dict[str, list[str]] = {}
    for question in questions:
        if question.kind not in (kinds := models.setdefault(question.model, [])):
            kinds.append(question.kind)
    source, graph = None, ModelGraph(ensembles={}, calls={})
    with _noted(notes, "no statistics of the models"):
        source = source_of(target, grpc_address=grpc_address or _usual_grpc(target))
        source.statistics()
    if notes and source is not None:
        source.close()
        source = None
    if source is not None:
        with _noted(notes, "no split by the steps of ensembles"):
            graph = ModelGraph.read(list(models), source.config)
    page_notes: list[str] = []
    url = metrics_url or _usual_page(target)
    is_gateway = bare = False
    if url:
        with _noted(page_notes, "no figures of a gateway"):
            is_gateway = page_of(PageReader().read(url).decode()) is not None
            bare = not is_gateway
    if metrics_url:
        notes += page_notes
    if metrics_url and bare:
        notes.append(f"no figures of a gateway: {url} has none")
    local = None
    with _noted(notes, "no processor time of the server"):
        local = LocalServer(server_roots(target, supervisor_pid=supervisor_pid))
        if (idle := sum(local.idle.values())) > _BUSY:
            notes.append(f"the server took {idle:.1f} cores before anything was sent, which are subtracted")
    return ServerSide(
        models=models,
        source=source,
        graph=graph,
        metrics_url=url if is_gateway else "",
        local=local,
        spans=spans,
        bare=bare,
        notes=notes,
    )


def _usual_page(target: Target) -> str:
    host, _, port = target.address.rpartition(":")
    return f"http://{host}:{_METRICS_PORT}/metrics" if port in (_REST_PORT, _GRPC_PORT) else ""


def _usual_grpc(target: Target) -> str:
    host, _, port = target.address.rpartition(":")
    return f"{host}:{_GRPC_PORT}" if target.protocol == "rest" and port == _REST_PORT else ""


def _page_between(before: Look, after: Look, notes: list[str]) -> Page | None:
    if before.page is None or after.page is None:
        return None
    between = after.page - before.page
    if between.went_back:
        notes.append("the gateway's counters began anew while it was measured: it was started again")
        return None
    return between


def _spent_between(before: Look, after: Look, notes: list[str]) -> dict[str, Counters]:
    if before.statistics is None or after.statistics is None:
        return {}
    if before.page is not None and after.page is not None and before.page.generation != after.page.generation:
        notes.append("no split: the gateway changed to another Triton while it was measured")
        return {}
    try:
        return difference(before.statistics, after.statistics)
    except ValueError as error:
        notes.append(f"no split: {error}")
        return {}


@contextlib.contextmanager
def _noted(notes: list[str], what: str) -> Iterator[None]:
    """What can't be had within the block becomes a note."""
    try:
        yield
    except (
        OSError,
        ValueError,
    ) as error:  # ConnectionError, PermissionError and ProcessLookupError among them
        notes.append(f"{what}: {error}")
