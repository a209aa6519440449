"""Metrics: what the gateway counts and measures, as Prometheus reads it.

Histograms have buckets, so that quantiles can be computed over any number of replicas. A label is never
anything that a client sent but a served model's name: models come checked, reasons and causes from fixed
sets, clients' names from the keys file or a certificate that an authority of the operator's signed.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Protocol

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client import disable_created_metrics as without_created_series
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.observability.answer_series import AnswerSeries
from deploy.gateway.observability.answer_sums import AnswerBlock
from deploy.gateway.observability.triton_metrics import TritonSeries
from deploy.gateway.repeating import repeat
from deploy.gateway.work import Ending, Ticket, Work

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
QUEUE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SCRAPE_SECONDS = 1.0  # the longest that a page waits for Triton
FOLLOW_SECONDS = 5.0  # between looks at Triton's series: what one that dies counted since is not known
# The pool's words for what happened, and the result that each one counts as.
_REPAIRS = {"repaired": "repaired", "repair_failed": "failed"}
_SWAPS = {"swapped": "swapped", "swap_failed": "failed", "rolled_back": "rolled_back"}
OTHERS = "(others)"
_MOST_CLIENTS = 1000


class WatchedAdmission(Protocol):
    """What is shown of admission, at the moment of a scrape."""

    @property
    def waiting(self) -> int: ...
    @property
    def waiting_bytes(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def limit(self) -> float: ...
    @property
    def oldest_wait(self) -> float: ...


class WatchedBackend(Protocol):
    """A Triton whose series are passed on."""

    @property
    def generation(self) -> int: ...
    @property
    def served(self) -> ServedModels: ...
    async def scrape(self) -> str: ...


class WatchedPool(Protocol):
    """What is shown of the Tritons."""

    @property
    def active(self) -> WatchedBackend | None: ...
    @property
    def standby_ready(self) -> bool: ...
    def health(self, model: str | None = None) -> tuple[bool, str]: ...


class WatchedLog(Protocol):
    """What is shown of the access log."""

    @property
    def lost(self) -> int: ...


class WatchedSpans(Protocol):
    """What is shown of the traces' spans."""

    @property
    def exported(self) -> int: ...
    @property
    def dropped(self) -> int: ...


class Metrics:
    """All series of one gateway: its own, and those of its Tritons. For one event loop.

    `restarts` is how often the supervisor has started this gateway again.
    """

    def __init__(self, *, restarts: int = 0) -> None:
        without_created_series()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_Present(self))
        self._answers = AnswerSeries(self._served)
        self._registry.register(self._answers)
        self._admission: WatchedAdmission | None = None
        self._pool: WatchedPool | None = None
        self._log: WatchedLog | None = None
        self._spans: WatchedSpans | None = None
        self._certificate_expiry: Callable[[], float | None] = lambda: None
        self._triton = TritonSeries()
        self._seen: dict[int, WatchedBackend] = {}  # by generation; those that may still count

        self._seconds = Histogram(
            "qface_gateway_request_seconds",
            "Time from an admitted request's arrival to its end.",
            ["model", "outcome"],
            buckets=REQUEST_BUCKETS,
            registry=self._registry,
        )
        self._queue = Histogram(
            "qface_gateway_queue_seconds",
            "Time that an admitted request waited before it was sent to Triton.",
            ["model"],
            buckets=QUEUE_BUCKETS,
            registry=self._registry,
        )
        self._requests = self._counter(
            "requests", "Admitted requests by how they ended.", "model", "outcome", "code"
        )
        self._admitted = self._counter("admitted", "Requests that were sent to Triton and ended.", "model")
        self._refused = self._counter(
            "refused", "Requests turned away; model is empty where none such is served.", "model", "reason"
        )
        self._abandoned = self._counter(
            "abandoned", "Admitted requests whose client left before the answer.", "model"
        )
        self._faces = self._counter("faces", "Faces in the answers that were given.", "model")
        self._left_out = self._counter(
            "faces_below_quality", "Faces that were left out of answers as their quality is too low.", "model"
        )
        self._bytes = self._counter("request_bytes", "Bytes of admitted requests.", "model")
        self._clients = self._counter(
            "client_requests", "Admitted requests by the name of the key or certificate.", "client", "outcome"
        )
        self._events = self._counter("events", "What happened to the processes of this gateway.", "event")
        repairs = self._counter("repairs", "Attempts to replace a sick Triton, by result.", "result")
        swaps = self._counter("swaps", "Attempts to change to another repository, by result.", "result")
        self._results = {event: repairs.labels(result) for event, result in _REPAIRS.items()}
        self._results |= {event: swaps.labels(result) for event, result in _SWAPS.items()}
        self._counter("restarts", "Starts of this gateway by its supervisor after the first.").inc(restarts)

        # Children by their labels: a look-up in prometheus_client takes a lock and builds a tuple of strings.
        self._models: dict[tuple[str, Ending], _Ended] = {}
        self._codes: dict[tuple[str, Ending, grpc.StatusCode], Counter] = {}
        self._names: set[str] = set()

    def finished(
        self,
        *,
        work: Work,
        ticket: Ticket,
        ending: Ending,
        code: grpc.StatusCode,
        seconds: float,
        faces: int,
    ) -> None:
        """Counts an admitted request, once; `seconds` from its arrival, `faces` in its answer."""
        ended = self._models.get((work.model, ending))
        if ended is None:
            ended = self._models[work.model, ending] = _Ended(self, work.model, ending)
        counted = self._codes.get((work.model, ending, code))
        if counted is None:
            counted = self._requests.labels(work.model, ending.value, code.name)
            self._codes[work.model, ending, code] = counted
        counted.inc()
        ended.seconds.observe(max(0.0, seconds))
        ended.queue.observe(max(0.0, ticket.queued_seconds))
        ended.admitted.inc()
        ended.bytes.inc(work.cost.bytes)
        if ending is Ending.ANSWERED:
            ended.faces.inc(faces)
        elif ending is Ending.ABANDONED:
            self._abandoned.labels(work.model).inc()
        if work.client:
            self._clients.labels(self._bounded(work.client), ending.value).inc()

    def refused(self, model: str, reason: str) -> None:
        """Counts a request that was turned away; `model` is "" where no such model is served."""
        self._refused.labels(model, reason).inc()

    def left_out(self, model: str, faces: int) -> None:
        """Counts faces that are not in an answer of this model."""
        self._left_out.labels(model).inc(faces)

    def answered(self, block: AnswerBlock) -> None:
        """Counts sums of answers."""
        self._answers.add(block)

    def event(self, kind: str) -> None:
        """Counts what happened to the Tritons; `kind` is a word of the pool's own."""
        self._events.labels(kind).inc()
        if kind in self._results:
            self._results[kind].inc()

    def watch(
        self,
        admission: WatchedAdmission,
        pool: WatchedPool,
        access_log: WatchedLog | None = None,
        spans: WatchedSpans | None = None,
        *,
        certificate_expiry: Callable[[], float | None] = lambda: None,
    ) -> None:
        """What is read at each scrape; `certificate_expiry` in seconds since 1970, None without TLS."""
        self._admission, self._pool, self._log, self._spans = admission, pool, access_log, spans
        self._certificate_expiry = certificate_expiry

    async def render(self) -> bytes:
        """The whole page. A Triton that does not give its series in time leaves those it gave before."""
        await self.scrape()
        pool = self._pool
        active = pool.active.generation if pool is not None and pool.active is not None else None
        parts = []
        for family in self._registry.collect():
            parts.append(generate_latest(_Only(family)))
            await asyncio.sleep(0)  # a large page takes tens of milliseconds: requests go on in between
        parts.append(self._triton.render(active=active).encode())
        return b"".join(parts)

    async def follow(self, log: Callable[[str], None] = lambda sentence: None) -> None:
        """Reads Triton's series now and then, until cancelled, so that those of one that dies are known."""
        await repeat(self.scrape, seconds=FOLLOW_SECONDS, what="the reading of Triton's series", log=log)

    async def scrape(self) -> None:
        """Reads the series of the active Triton, and of those before it until they are gone."""
        active = self._pool.active if self._pool is not None else None
        if active is not None:
            self._seen[active.generation] = active
        await asyncio.gather(*(self._scrape(backend, active) for backend in list(self._seen.values())))

    async def _scrape(self, backend: WatchedBackend, active: WatchedBackend | None) -> None:
        with contextlib.suppress(Exception):  # one that dies may fail in any way; the page goes on without
            async with asyncio.timeout(SCRAPE_SECONDS):
                self._triton.update(backend.generation, await backend.scrape())
            return
        if active is None or backend.generation != active.generation:
            self._seen.pop(backend.generation, None)
            self._triton.retire(backend.generation)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"qface_gateway_{name}", documentation, labels, registry=self._registry)

    def _bounded(self, client: str) -> str:
        """A client's name as a label: certificates could bring any number of them."""
        if client not in self._names:
            if len(self._names) >= _MOST_CLIENTS:
                return OTHERS
            self._names.add(client)
        return client

    def _served(self) -> ServedModels | None:
        active = self._pool.active if self._pool is not None else None
        return None if active is None else active.served

    def present(self) -> Iterable[Metric]:
        """The gauges, read at this moment."""
        if (admission := self._admission) is not None:
            yield _gauge("in_flight", "Requests that are with Triton.", admission.in_flight)
            yield _gauge("waiting", "Requests that wait for admission.", admission.waiting)
            yield _gauge("waiting_bytes", "Bytes of all requests held.", admission.waiting_bytes)
            yield _gauge(
                "oldest_wait_seconds", "Age of the request that waits longest.", admission.oldest_wait
            )
            yield _gauge("in_flight_limit", "Requests that may be with Triton at once.", admission.limit)
        if (pool := self._pool) is not None:
            active = pool.active
            yield _gauge("ready", "1 when requests are answered.", pool.health()[0])
            yield _gauge("standby_ready", "1 when a second Triton is ready to take over.", pool.standby_ready)
            if active is not None:
                yield _gauge(
                    "backend_generation",
                    "Number of the Triton that gets requests; grows with each change.",
                    active.generation,
                )
                models = GaugeMetricFamily(
                    "qface_gateway_model_ready", "1 when this model answers.", labels=["model"]
                )
                for name in active.served.configs:
                    models.add_metric([name], float(pool.health(name)[0]))
                yield models
        if (expiry := self._certificate_expiry()) is not None:
            yield _gauge(
                "certificate_expiry_seconds", "When the server's certificate expires, since 1970.", expiry
            )
        if (log := self._log) is not None:
            yield CounterMetricFamily(
                "qface_gateway_access_log_lost",
                "Lines of the access log that could not be written.",
                value=log.lost,
            )
        if (spans := self._spans) is not None:
            counted = CounterMetricFamily(
                "qface_gateway_spans", "Spans of traced requests, by what became of them.", labels=["result"]
            )
            counted.add_metric(["exported"], spans.exported)
            counted.add_metric(["dropped"], spans.dropped)
            yield counted


class _Ended:
    """The series that one model's requests with one ending go into."""

    def __init__(self, metrics: Metrics, model: str, ending: Ending) -> None:
        self.seconds = metrics._seconds.labels(model, ending.value)
        self.queue = metrics._queue.labels(model)
        self.admitted = metrics._admitted.labels(model)
        self.bytes = metrics._bytes.labels(model)
        self.faces = metrics._faces.labels(model)


class _Present(Collector):
    """Hands `Metrics.present` to the registry."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.present()

    def describe(self) -> Iterable[Metric]:
        return []


class _Only(Collector):
    """One family, in place of a registry."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return [self._family]


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"qface_gateway_{name}", documentation, value=float(value))
