"""How many replicas a rate and an objective want, found by simulating them."""

import dataclasses
import math
from collections.abc import Callable

from deploy.capacity.queueing.loads import LESS_BUSY, SAMPLE, closed_loop, open_loop
from deploy.capacity.queueing.server import Outcome
from deploy.capacity.queueing.service_times import ServiceTimes
from deploy.loadtest.objectives import Objective

MOST_RATE = 1e7  # requests a second: more than three photos a day of everybody alive
_COARSE, _FINE = 20_000, 50_000  # requests of a simulation, while it looks and once it has found
_UNLOADED = 5_000
_BEYOND = 20  # requests that lie above the objective's percentile, at least
_CLIENTS = 16  # that keep a server busy; no rate is kept that is so much higher than theirs:
_ABOVE = 1.5
_PRECISION = 0.01  # of the rate of a replica
_SAME = 0.97  # of a replica's rate, which half as many simulated servers have to keep too


class UnreachableError(Exception):
    """No number of replicas keeps the objective; one sentence."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reserve:
    """Replicas beside those that the rate wants: so many, or a share of them rounded up."""

    replicas: int = 0
    share: float = 0.0

    def __post_init__(self) -> None:
        if self.replicas < 0 or not 0 <= self.share <= 10:
            raise ValueError("a reserve is 0 replicas or more, or a share from 0 % to 1000 %")

    def beside(self, replicas: int) -> int:
        return self.replicas + math.ceil(self.share * replicas - 1e-9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fleet:
    """As many replicas as keep the objective.

    needed      without the reserve: so many keep it while all of the reserve is lost
    most        requests a second at which one replica still keeps it, to 1 %
    whole, lost     a replica's requests with all replicas there, and without the reserve
    sample_matters  whether half as many simulated servers don't keep the objective at 3 % less than `most`
    """

    rate: float
    objective: Objective
    balancing: str
    needed: int
    reserve: int
    most: float
    whole: Outcome
    lost: Outcome
    sample_matters: bool = False

    @property
    def replicas(self) -> int:
        return self.needed + self.reserve


def kept(outcome: Outcome, objective: Objective) -> bool:
    """Whether that share of what arrived was answered in time; what was refused was not."""
    return bool((outcome.seconds <= objective.seconds).sum() >= objective.share * outcome.offered)


def fleet_for(
    times: ServiceTimes,
    *,
    rate: float,
    objective: Objective,
    balancing: str,
    reserve: Reserve,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Fleet:
    """The fewest replicas, each of which is such a server.

    Raises UnreachableError where an unloaded server does not keep the objective, ValueError for a rate that
    can't be.
    """
    if not 0 < rate <= MOST_RATE:
        raise ValueError(
            f"a rate of {rate:g} a second can't be planned for: give one above 0, up to {MOST_RATE:g}"
        )
    unloaded = closed_loop(times, clients=1, requests=_UNLOADED, seed=seed)
    if not kept(unloaded, objective):
        raise UnreachableError(
            f"no number of replicas keeps {objective.text}: one that has nothing else to do has "
            f"{objective.name} {1e3 * unloaded.longest_of(objective.share):.1f} ms; take faster cores, "
            "smaller photos or a longer time"
        )

    def simulate(each: float, requests: int, *, sample: int = SAMPLE) -> Outcome:
        return open_loop(
            times,
            rate=each,
            requests=max(requests, math.ceil(_BEYOND / (1 - objective.share))),
            seed=seed,
            balancing=balancing,
            replicas=max(1, round(rate / each)),
            sample=sample,
        )

    low, high = 0.0, _ABOVE * closed_loop(times, clients=_CLIENTS, requests=_UNLOADED, seed=seed).rate
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        held = kept(simulate(middle, _COARSE), objective)
        low, high = (middle, high) if held else (low, middle)
        progress(f"{middle:.2f} requests/s a replica: {'kept' if held else 'not kept'}")
        if high < 1e-3 * unloaded.rate:
            raise UnreachableError(
                f"no number of replicas keeps {objective.text}: an unloaded one hardly does, and any load "
                "is too much; give a longer time"
            )
    needed = math.ceil(rate / low)
    spare = reserve.beside(needed)
    lost = simulate(rate / needed, _FINE)
    matters = balancing == LESS_BUSY and not kept(
        simulate(_SAME * low, _COARSE, sample=SAMPLE // 2), objective
    )
    return Fleet(
        rate=rate,
        objective=objective,
        balancing=balancing,
        needed=needed,
        reserve=spare,
        most=low,
        whole=lost if not spare else simulate(rate / (needed + spare), _FINE),
        lost=lost,
        sample_matters=matters,
    )
