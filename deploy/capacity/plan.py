"""A plan of capacity as it is printed and kept."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from deploy.capacity.cost import FORMULA, Hours
from deploy.capacity.fleet import Fleet
from deploy.capacity.limits import Balancers, Limit, fleet_sentences
from deploy.capacity.measured import ENGINE, Measured
from deploy.capacity.queueing.server import Outcome
from deploy.capacity.queueing.service_times import ServiceTimes
from qface_client.measuring.percentiles import percentile_name

_SHARES = (0.5, 0.99, 0.999)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """All that was worked out; `limits` of one replica, the first to break first.

    mean_rate   requests a second over the time that replicas are paid for
    price       of a replica's hour; None: none was given
    """

    measured: Measured
    times: ServiceTimes
    fleet: Fleet
    mean_rate: float
    limits: Sequence[Limit]
    balancers: Balancers
    hours: Hours
    price: float | None
    currency: str

    @property
    def cost_of_a_million(self) -> float | None:
        return None if self.price is None else self.price * self.hours.replica


def text(plan: Plan) -> str:
    """Markdown."""
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    fleet = plan.fleet
    yield (
        f"{fleet.replicas:,} replicas of {plan.times.cores} cores: {fleet.needed:,} keep "
        f"{fleet.objective.text} at {fleet.rate:,.6g} requests/s ({fleet.balancing}), "
        f"and {fleet.reserve:,} may be lost."
    )
    yield f"One keeps it up to {fleet.most:.4g} requests/s.\n"
    names = " | ".join(f"{percentile_name(share)} ms" for share in _SHARES)
    yield f"| of a replica | requests/s | {names} | refused | cores busy |"
    yield "|---|" + "---:|" * (len(_SHARES) + 3)
    yield _row("all replicas", fleet.rate / fleet.replicas, fleet.whole)
    if fleet.reserve:
        yield _row(f"without {fleet.reserve:,}", fleet.rate / fleet.needed, fleet.lost)
    yield "\nWhat breaks first:\n"
    yield "| part | a replica bears requests/s | busy | all that are needed bear | because |"
    yield "|---|---:|---:|---:|---|"
    each = fleet.rate / fleet.needed
    for limit in plan.limits:
        cells = (f"{limit.rate:,.4g}", f"{each / limit.rate:.0%}", f"{limit.rate * fleet.needed:,.4g}")
        yield f"| {limit.part} | {' | '.join(cells)} | {limit.why} |"
    yield ""
    yield from _before_the_replicas(plan)
    yield ""
    yield from _cost(plan)
    if notes := _notes(plan):
        yield ""
        yield from (f"Note: {note}." for note in notes)


def _before_the_replicas(plan: Plan) -> Iterator[str]:
    if plan.balancers.needed:
        yield (
            f"Balancers: {8e-9 * plan.balancers.bytes_a_second:.3g} Gbit/s in each direction; one bears "
            f"{plan.balancers.rate:,.4g} requests/s, so the fewest are {plan.balancers.needed:,}."
        )
    else:
        yield (
            "Network and balancers: the bytes of requests and answers aren't known; give --request-bytes and "
            "--answer-bytes."
        )
    yield from fleet_sentences(replicas=plan.fleet.replicas, at=plan.fleet.whole)


def _cost(plan: Plan) -> Iterator[str]:
    hours = plan.hours
    parts = [f"{hours.replica:.4g} replica-hours", f"{hours.core:.4g} core-hours"]
    if hours.device:
        parts.append(f"{hours.device:.4g} GPU-hours")
    yield f"A million requests: {', '.join(parts)}."
    numbers = f"{plan.fleet.replicas:,} x price x 1,000,000 / (3,600 x {plan.mean_rate:,.6g})"
    cost = plan.cost_of_a_million
    value = "" if cost is None else f" = {cost:.4g} {plan.currency}".rstrip()
    yield f"Cost of a million = {FORMULA} = {numbers}{value}."


def _row(name: str, rate: float, outcome: Outcome) -> str:
    figures = " | ".join(f"{1e3 * outcome.longest_of(share):.0f}" for share in _SHARES)
    return f"| {name} | {rate:.4g} | {figures} | {outcome.refused_share:.2%} | {outcome.busy['cores']:.0%} |"


def _notes(plan: Plan) -> list[str]:
    notes = list(plan.measured.notes)
    reached = plan.measured.rate_without_clients
    if plan.fleet.most > reached:
        notes.append(
            f"one replica is planned with up to {plan.fleet.most:.4g} requests/s, of which "
            f"{plan.measured.clients} clients got {reached:.4g} (their own time taken off): the simulation "
            "may be too good there"
        )
    if ENGINE in plan.measured.busy:
        notes.append(
            "the engine takes the host's cores, where real latencies were above predicted ones, most at high "
            "loads (docs/loadtest.md, Capacity): keep a reserve, and hold it to a server of yours with "
            "`python -m deploy.capacity.validate`"
        )
    if plan.fleet.sample_matters:
        notes.append("half as many simulated servers do not keep it, so their number matters: take a reserve")
    return notes


def plain(plan: Plan) -> dict[str, Any]:
    """As JSON keeps it."""
    fleet = plan.fleet
    return {
        "rate": fleet.rate,
        "mean_rate": plan.mean_rate,
        "objective": fleet.objective.text,
        "balancing": fleet.balancing,
        "replicas": fleet.replicas,
        "needed": fleet.needed,
        "reserve": fleet.reserve,
        "most_of_a_replica": fleet.most,
        "whole": _outcome(fleet.whole),
        "lost": _outcome(fleet.lost),
        "sample_matters": fleet.sample_matters,
        "limits": [dataclasses.asdict(limit) for limit in plan.limits],
        "balancers": dataclasses.asdict(plan.balancers) if plan.balancers.needed else None,
        "hours_of_a_million": dataclasses.asdict(plan.hours),
        "cost_of_a_million": plan.cost_of_a_million,
        "notes": _notes(plan),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "seconds": {percentile_name(share): outcome.longest_of(share) for share in _SHARES},
        "mean": outcome.mean,
        "refused": outcome.refused_share,
        "busy": outcome.busy,
        "batch": outcome.batch,
    }
