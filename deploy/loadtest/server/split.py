"""Where the time of a request went: parts that add up to what its client measured."""

import dataclasses
from collections.abc import Mapping

from deploy.loadtest.server.metrics import Page, Sums
from deploy.loadtest.server.model_graph import ModelGraph, Visit
from deploy.loadtest.server.statistics import Counters
from deploy.loadtest.server.step_names import LAST, step_name

WAITING = "waiting at the gateway"
QUEUE = "queue"
COPIES = "copies"
BETWEEN = "between steps"
GATEWAY = "gateway"
BEHIND = "gateway and models"  # where the models' own statistics can't be had
NETWORK = "network and client"
OUTSIDE = "network, client and gateway"  # where the gateway's own figures can't be had
NOISE = 1.05  # the server's time may exceed the client's by so much: they are not of the very same requests


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What was counted between two looks.

    spent       by the server, by model
    gateway     by the gateway; None: there is none, or it can't be read
    phases      of the time that a model computes, the share of each phase, by spans
    bare        whether it is known that no gateway is before the models
    """

    spent: Mapping[str, Counters]
    graph: ModelGraph
    gateway: Page | None = None
    phases: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    bare: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """A model's requests.

    parts       milliseconds of one, in the order of its way but for sums over steps, which add up to the mean
                latency; empty where the server counted nothing of it
    excess      the server's time as a multiple of the client's, 1 or less where it fits
    """

    parts: Mapping[str, float]
    excess: float


def split(model: str, *, latency_ms: float, measured: Measured) -> Split:
    """Of requests to a model, whose clients waited `latency_ms` for an answer on average."""
    within = _server_parts(model, measured)
    whole = sum(within.values())
    page = measured.gateway
    answered = Sums() if page is None else page.answered.get(model, Sums())
    if page is not None and answered.count > 0:
        waited = page.queue.get(model, Sums()).mean_ms
        passed = max(0.0, answered.mean_ms - waited)
        behind = _fitted(within, passed, rest=GATEWAY) if within else {BEHIND: passed}
        return Split(
            parts=_fitted({WAITING: waited, **behind}, latency_ms, rest=NETWORK),
            excess=max(answered.mean_ms, whole) / latency_ms,
        )
    if not within:
        return Split(parts={}, excess=0.0)
    rest = NETWORK if measured.bare else OUTSIDE
    return Split(parts=_fitted(within, latency_ms, rest=rest), excess=whole / latency_ms)


def _server_parts(model: str, measured: Measured) -> dict[str, float]:
    """The parts of a request's time within the server."""
    if model not in measured.spent or not measured.spent[model].requests:
        return {}
    visits = [
        visit for visit in measured.graph.visits(model, measured.spent) if visit.model in measured.spent
    ]
    queue = copies = 0.0
    steps: dict[str, float] = {}
    for visit in visits:
        spent = measured.spent[visit.model]
        queue += visit.share * spent.mean("queue")
        copies += visit.share * (spent.mean("copy_in") + spent.mean("copy_out"))
        for name, milliseconds in _computing(visit, visits, measured).items():
            steps[name] = steps.get(name, 0.0) + milliseconds
    if LAST in steps:  # of a model that calls the engine in between
        steps[LAST] = steps.pop(LAST)
    return _fitted({QUEUE: queue, **steps, COPIES: copies}, measured.spent[model].mean("whole"), rest=BETWEEN)


def _computing(visit: Visit, visits: list[Visit], measured: Measured) -> dict[str, float]:
    """What a model computed itself, by phase where those are known."""
    calls = [other for other in visits if other.within == visit.model]
    whole = visit.share * measured.spent[visit.model].mean("infer")
    own = whole - sum(call.share * _passing(measured.spent[call.model]) for call in calls)
    phases = {name: whole * share for name, share in measured.phases.get(visit.model, {}).items()}
    if not phases:
        return {step_name(visit.model): max(0.0, own)}
    return _fitted(phases, max(0.0, own), rest=f"rest of {visit.model}")


def _passing(spent: Counters) -> float:
    """Milliseconds of a request in a model, its queue included."""
    return sum(spent.mean(name) for name in ("queue", "copy_in", "infer", "copy_out"))


def _fitted(parts: Mapping[str, float], whole: float, *, rest: str) -> dict[str, float]:
    """The parts and what is left of the whole; they are made smaller where they exceed it."""
    total = sum(parts.values())
    scale = min(1.0, whole / total) if total > 0 else 1.0
    fitted = {name: scale * value for name, value in parts.items()}
    fitted[rest] = fitted.get(rest, 0.0) + max(0.0, whole - total)
    return fitted
