"""Loads on simulated servers: clients that send again once answered, and requests that arrive on their own.

Of many servers only as many are simulated as matter:

- Balanced at random, each of M servers gets independent Poisson arrivals: one server is the whole fleet.
- In turn by one balancer, each gets every M-th arrival: one server with Erlang-M arrivals is.
- The less busy of two at random looks at the others: `SAMPLE` servers stand for all; the fleet's command
  simulates half as many too, and compares.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import simpy
from numpy.typing import NDArray

from deploy.capacity.queueing.server import Draws, Events, Outcome, SimulatedServer
from deploy.capacity.queueing.service_times import ServiceTimes

SAMPLE = 16
_WARM_UP = 0.1  # of the requests, which find less before them than later ones
RANDOM, IN_TURN, LESS_BUSY = "random", "round-robin", "least-of-two"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Fleet:
    """As many servers as are simulated.

    gaps    makes [n] times between the arrivals at all of them, with mean 1
    choose  which gets the next one
    """

    servers: int
    gaps: Callable[[int], NDArray[np.float64]]
    choose: Callable[[list[SimulatedServer]], SimulatedServer]


def open_loop(
    times: ServiceTimes,
    *,
    rate: float,
    requests: int,
    seed: int,
    balancing: str = RANDOM,
    replicas: int = 1,
    sample: int = SAMPLE,
) -> Outcome:
    """`requests` that arrive at random, `rate` a second at each of `replicas` servers.

    balancing: a key of `BALANCINGS`. Raises ValueError for a rate that is none.
    """
    if not 0 < rate < float("inf"):
        raise ValueError(f"a rate of {rate} can't be simulated: give requests a second, above 0")
    random = np.random.default_rng(seed)
    fleet = BALANCINGS[balancing](random, replicas, sample)
    environment = simpy.Environment()
    servers = [SimulatedServer(environment, times, random) for _ in range(fleet.servers)]
    tally = _Tally()
    gaps = Draws(fleet.gaps)

    def arrivals() -> Events:
        for number in range(requests):
            yield environment.timeout(gaps.next() / (rate * fleet.servers))
            counts = number >= requests * _WARM_UP
            if counts:
                tally.begin(servers, environment.now)
            server = fleet.choose(servers)
            environment.process(server.serve(*tally.ends(counts=counts)))
        tally.end(servers, environment.now)

    environment.process(arrivals())
    environment.run()
    return tally.outcome(servers)


def replayed(times: ServiceTimes, arrivals: NDArray[np.float64], *, seed: int) -> Outcome:
    """One server, and requests that arrive at these times [n], in seconds, ascending; all of them count."""
    if not len(arrivals):
        raise ValueError("nothing arrived, so nothing can be replayed")
    environment = simpy.Environment()
    server = SimulatedServer(environment, times, np.random.default_rng(seed))
    tally = _Tally()

    def arrive() -> Events:
        tally.begin([server], environment.now)
        for arrival in (arrivals - arrivals[0]).tolist():
            yield environment.timeout(max(0.0, arrival - environment.now))
            environment.process(server.serve(*tally.ends(counts=True)))
        tally.end([server], environment.now)

    environment.process(arrive())
    environment.run()
    return tally.outcome([server])


def closed_loop(times: ServiceTimes, *, clients: int, requests: int, seed: int) -> Outcome:
    """One server's `requests` of so many clients, each of which sends again once its last one ended."""
    if clients < 1:
        raise ValueError(f"{clients} clients send nothing: give 1 or more")
    random = np.random.default_rng(seed)
    environment = simpy.Environment()
    server = SimulatedServer(environment, times, random)
    tally, sent = _Tally(), 0

    def client() -> Events:
        nonlocal sent
        while sent < requests:
            counts, sent = sent >= requests * _WARM_UP, sent + 1
            if counts:
                tally.begin([server], environment.now)
            yield from server.serve(*tally.ends(counts=counts))
        tally.end([server], environment.now)

    for _ in range(clients):
        environment.process(client())
    environment.run()
    return tally.outcome([server])


class _Tally:
    """What is counted of a simulation, from `begin` to `end`, each of which counts once."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._offered = 0
        self._begin: tuple[float, list[dict[str, float]]] | None = None
        self._end: tuple[float, list[dict[str, float]]] | None = None

    def begin(self, servers: list[SimulatedServer], now: float) -> None:
        self._begin = self._begin or (now, [server.busy(1.0) for server in servers])

    def end(self, servers: list[SimulatedServer], now: float) -> None:
        self._end = self._end or (now, [server.busy(1.0) for server in servers])

    def ends(self, *, counts: bool) -> tuple[Callable[[float], None], Callable[[], None]]:
        """What a request calls at its end."""
        self._offered += counts

        def answered(seconds: float) -> None:
            if counts:
                self._seconds.append(seconds)

        return answered, lambda: None

    def outcome(self, servers: list[SimulatedServer]) -> Outcome:
        assert self._begin is not None
        assert self._end is not None
        elapsed = self._end[0] - self._begin[0]
        pairs = list(zip(self._begin[1], self._end[1], strict=True))
        return Outcome(
            seconds=np.array(self._seconds),
            offered=self._offered,
            elapsed=elapsed,
            busy={
                part: sum(after[part] - before[part] for before, after in pairs) / elapsed / len(pairs)
                for part in pairs[0][0]
            },
            batch=sum(server.mean_batch for server in servers) / len(servers),
            servers=len(servers),
        )


def _random(random: np.random.Generator, replicas: int, sample: int) -> _Fleet:
    return _Fleet(
        servers=1, gaps=lambda count: random.exponential(size=count), choose=lambda servers: servers[0]
    )


def _in_turn(random: np.random.Generator, replicas: int, sample: int) -> _Fleet:
    def gaps(count: int) -> NDArray[np.float64]:
        return random.gamma(replicas, 1 / replicas, size=count)

    return _Fleet(servers=1, gaps=gaps, choose=lambda servers: servers[0])


def _less_busy(random: np.random.Generator, replicas: int, sample: int) -> _Fleet:
    simulated = min(replicas, sample)
    chances = Draws(lambda count: random.random(count))

    def choose(servers: list[SimulatedServer]) -> SimulatedServer:
        one, other = (servers[int(chances.next() * simulated)] for _ in range(2))
        return one if one.outstanding <= other.outstanding else other

    return _Fleet(servers=simulated, gaps=lambda count: random.exponential(size=count), choose=choose)


BALANCINGS: Mapping[str, Callable[[np.random.Generator, int, int], _Fleet]] = {
    RANDOM: _random,
    IN_TURN: _in_turn,
    LESS_BUSY: _less_busy,
}
