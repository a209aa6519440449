"""What breaks first, at which rate: of one replica, and of what stands before all of them."""

import dataclasses
import math
import re

from deploy.capacity.queueing.server import Outcome
from deploy.capacity.queueing.service_times import ServiceTimes
from deploy.gateway.front.health import WATCHERS
from deploy.gateway.options import Limits

_BITS = {"mbit": 1e6, "gbit": 1e9, "": 1.0}
_NETWORK = re.compile(r"(\d+(?:\.\d+)?)(mbit|gbit)", re.ASCII)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limit:
    """One part, and the requests a second that keep it busy all the time."""

    part: str
    rate: float
    why: str


def parse_network(text: str) -> float:
    """ "10gbit" -> bytes a second in each direction; ValueError with a sentence for anything else."""
    found = _NETWORK.fullmatch(text.strip().lower())
    if found is None or not float(found[1]):
        raise ValueError(f"{text!r} is no network: write its bits a second as 10gbit or 500mbit")
    return float(found[1]) * _BITS[found[2]] / 8


def replica_limits(
    times: ServiceTimes, at: Outcome, *, request_bytes: float, answer_bytes: float, network: float
) -> list[Limit]:
    """Of one replica, the first to break first.

    at          one replica under the planned load: how long photos hold their processes is taken from there
    network     bytes a second in each direction; bytes of a request and an answer: 0 where they aren't known
    """
    engine = times.engine
    steps = [*times.before, *times.behind]
    on_cores = times.gateway.busy + times.triton.busy + sum(step.share * step.work.busy for step in steps)
    faces = times.rows / engine.rows_a_second if times.rows else 0.0
    if not engine.on_device:
        on_cores += faces
    found = [
        Limit(
            part="cores",
            rate=_rate(times.cores * times.full_speed, on_cores),
            why=f"{1e3 * on_cores:.1f} core-ms a request on {times.cores} cores",
        ),
        Limit(part="gateway", rate=_rate(1, times.gateway.busy), why="one thread serves all requests"),
    ]
    if faces:
        streams = 1 if engine.on_device else min(times.cores, engine.streams * engine.instances)
        found.append(
            Limit(
                part="engine",
                rate=streams / faces,
                why=f"{times.rows:.3g} of its faces a request, in full batches",
            )
        )
    for step in steps:
        if step.holds:
            busy = at.busy[step.name]
            found.append(
                Limit(
                    part=step.name,
                    rate=_rate(at.rate, busy),
                    why=f"{step.processes} processes, each held by a photo that waits for the engine",
                )
            )
        else:
            found.append(
                Limit(
                    part=step.name,
                    rate=_rate(step.processes, step.share * step.work.busy),
                    why=f"{step.processes} processes",
                )
            )
    if largest := max(request_bytes, answer_bytes):
        out = f"{answer_bytes / 1e3:.0f} kB out" if answer_bytes else "what goes out is not known"
        why = f"{request_bytes / 1e3:.0f} kB in, {out} (--answer-bytes)"
        found.append(Limit(part="network", rate=network / largest, why=why))
    return sorted((limit for limit in found if math.isfinite(limit.rate)), key=lambda limit: limit.rate)


def _rate(available: float, taken: float) -> float:
    """Requests a second, of what there is and what each takes; infinite where it takes nothing."""
    return available / taken if taken else math.inf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Balancers:
    """What passes through balancers on its way, where clients don't balance by themselves.

    bytes_a_second      in each direction, of all requests: a balancer gets and sends both photo and answer
    needed              with a network of this size each; 0: the bytes aren't known
    rate                requests a second that one bears
    """

    bytes_a_second: float
    needed: int
    rate: float


def balancers(*, rate: float, request_bytes: float, answer_bytes: float, network: float) -> Balancers:
    each = request_bytes + answer_bytes
    return Balancers(
        bytes_a_second=rate * each,
        needed=math.ceil(rate * each / network),
        rate=network / each if each else math.inf,
    )


def fleet_sentences(*, replicas: int, at: Outcome) -> list[str]:
    """What grows with the fleet and its clients beside the bytes."""
    calls = at.rate * at.mean
    most = Limits().connections
    return [
        f"Health: a client that balances by itself watches each replica, which has places for {WATCHERS} "
        f"such clients; gRPC goes on without for more. Beyond {WATCHERS} of them put balancers between.",
        f"Connections: such a client holds one to each of {replicas:,} replicas. A replica has {calls:.1f} "
        f"calls at a time on average and takes {most:,} (`--connections`).",
        f"Metrics: {replicas:,} pages; `curl -s HOST:8002/metrics | grep -vc '^#'` counts the series of one.",
    ]
