"""One server, simulated: where a request waits, what it takes of what, when it is refused.

    client -> gateway (one thread) -> place with Triton -> Triton -> steps -> engine (batches) -> steps
           <- gateway              <-

What is assumed:

- All threads that run, the clients' among them where they are on the machine, get the cores in turns of a
  scheduler's tick (`cores.Cores`), and an idle core always takes what waits: a real scheduler may leave two
  threads on one core for some milliseconds. How long a thread takes depends on how many cores are busy as it
  begins, in a line between what was measured of an idle server and of a busy one.
- A step's process takes all that waits for it as one batch and answers it as a whole; a photo's process takes
  one photo and waits for the engine with it. No request waits for others to come (Triton's
  max_queue_delay_microseconds, 100 us here). All of a photo's processor time comes before the engine.
- Triton's own threads, copies between its steps and the network have no queue; Triton's time comes before
  the steps.
- Each request has one factor by which all its times differ from the mean, drawn from the latencies of an
  unloaded server.
- The gateway lets a fixed number of requests be with Triton (it finds that number while it runs; its gauge
  is measured), refuses one before which `USUAL_WAITING` requests and half of those with Triton wait, and one
  that has waited for `queue_seconds`. Priorities, keys, memory, large requests and deadlines are left out.
"""

import collections
import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from deploy.capacity.queueing.batches import BatchingStep, HeldProcesses, Waiting
from deploy.capacity.queueing.cores import Cores
from deploy.capacity.queueing.service_times import ServiceTimes, Step
from qface_client.measuring.percentiles import percentile

USUAL_WAITING = 16  # as in deploy/gateway/admission/lanes.py
_DRAWN = 4096  # random numbers at a time

Events = Generator[simpy.Event, Any, None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the requests of a simulation.

    seconds     [n] of each answered request, from its arrival on, in the order of the answers
    offered     requests that arrived; those that were not answered were refused
    elapsed     seconds of the simulation
    servers     that were simulated
    busy        share of the time in which each part was busy: "cores", "gateway", "engine", a step's name
    batch       faces of a batch of the engine, on average
    """

    seconds: NDArray[np.float64]
    offered: int
    elapsed: float
    busy: dict[str, float]
    batch: float
    servers: int = 1

    @property
    def refused_share(self) -> float:
        return 1 - len(self.seconds) / self.offered

    @property
    def rate(self) -> float:
        """Answers a second of each server."""
        return len(self.seconds) / self.elapsed / self.servers

    def longest_of(self, share: float) -> float:
        """The longest, in seconds, of the fastest `share` of the answers: their percentile."""
        return percentile(self.seconds, share)

    @property
    def mean(self) -> float:
        return float(self.seconds.mean())


class Draws:
    """Random numbers, made many at a time."""

    def __init__(self, make: Callable[[int], NDArray[np.float64]]) -> None:
        self._make = make
        self._held: list[float] = []

    def next(self) -> float:
        if not self._held:
            self._held = self._make(_DRAWN).tolist()
        return self._held.pop()


class SimulatedServer:
    """A server in a simulation; `serve` is a request's way through it."""

    def __init__(
        self, environment: simpy.Environment, times: ServiceTimes, random: np.random.Generator
    ) -> None:
        self._environment = environment
        self._times = times
        self._cores = Cores(environment, times.cores, turn=times.turn, full_speed=times.full_speed)
        self._gateway = self._beside_engine(
            Step(name="gateway", processes=1, work=times.gateway * 0.5), most=1
        )
        most = times.engine.max_batch
        self._before = [
            (step, self._beside_engine(step, most=most)) for step in times.before if not step.holds
        ]
        self._holding = [
            (step, HeldProcesses(environment, processes=step.processes))
            for step in times.before
            if step.holds
        ]
        self._behind = [(step, self._beside_engine(step, most=most)) for step in times.behind]
        self._engine = BatchingStep(
            environment,
            processes=times.engine.instances,
            most=times.engine.max_batch,
            compute=self._on_device if times.engine.on_device else self._on_cores,
        )
        self._factors = Draws(lambda count: random.choice(times.spread, size=count))
        self._chances = Draws(lambda count: random.random(count))
        self._with_triton = 0
        self._queue: collections.deque[simpy.Event] = collections.deque()
        self.outstanding = 0

    def serve(self, answered: Callable[[float], None], refused: Callable[[], None]) -> Events:
        """A request that arrives now; one of the two is called at its end, the first with its seconds."""
        began, times, factor = self._environment.now, self._times, self._factors.next()
        self.outstanding += 1
        yield from self._client(factor)
        yield self._gateway.enter(rows=1, factor=factor)
        if not (yield from self._admitted()):
            self.outstanding -= 1
            refused()
            return
        yield self._cores.work(times.triton.alone * factor, times.triton.busy * factor)
        yield from self._steps(factor)
        self._leave()
        yield self._gateway.enter(rows=1, factor=factor)
        yield from self._client(factor)
        self.outstanding -= 1
        answered(max(0.0, self._environment.now - began + times.outside))

    def busy(self, seconds: float) -> dict[str, float]:
        """The share of so many seconds in which each part was busy."""
        parts = {"cores": self._cores.busy_seconds / self._cores.count}
        batching = [("gateway", self._gateway), ("engine", self._engine)]
        batching += [(step.name, held) for step, held in (*self._before, *self._behind)]
        parts |= {name: held.busy_seconds / held.processes for name, held in batching}
        parts |= {step.name: held.busy_seconds / held.processes for step, held in self._holding}
        return {name: value / seconds for name, value in parts.items()}

    @property
    def mean_batch(self) -> float:
        return self._engine.mean_batch

    def _client(self, factor: float) -> Events:
        """Half of a client's time: it sends, or reads the answer."""
        client = self._times.client
        if self._times.client_here:
            yield self._cores.work(client.alone * factor / 2, client.busy * factor / 2)
        elif client.alone:
            yield self._environment.timeout(client.alone * factor / 2)

    # -- the gateway's queue ------------------------------------------------------------------------

    def _admitted(self) -> Generator[simpy.Event, Any, bool]:
        limit = self._times.in_flight
        if self._with_triton < limit and not self._queue:
            self._with_triton += 1
            return True
        if len(self._queue) > USUAL_WAITING + limit / 2:
            return False
        turn = self._environment.event()
        self._queue.append(turn)
        yield turn | self._environment.timeout(self._times.queue_seconds)
        if turn.triggered:
            return True
        self._queue.remove(turn)
        return False

    def _leave(self) -> None:
        if self._queue:
            self._queue.popleft().succeed()
        else:
            self._with_triton -= 1

    # -- Triton's steps -----------------------------------------------------------------------------

    def _steps(self, factor: float) -> Events:
        rows = int(self._times.rows + self._chances.next())
        for step, processes in self._before:
            if self._comes_to(step):
                yield processes.enter(rows=1, factor=factor)
        held: list[HeldProcesses] = []
        for step, holding in self._holding:
            if self._comes_to(step):
                held.append(holding)
                yield holding.take()
                yield self._cores.work(step.work.alone * factor, step.work.busy * factor)
        while rows > 0:
            batch = min(rows, self._times.engine.max_batch)
            yield self._engine.enter(rows=batch, factor=factor)
            rows -= batch
        for each in held:
            each.give_back()
        for step, processes in self._behind:
            if self._comes_to(step):
                yield processes.enter(rows=1, factor=factor)

    def _comes_to(self, step: Step) -> bool:
        return step.share >= 1 or self._chances.next() < step.share

    def _beside_engine(self, step: Step, *, most: int) -> BatchingStep:
        def compute(batch: Sequence[Waiting]) -> Events:
            factor = sum(each.factor for each in batch)
            yield self._cores.work(step.work.alone * factor, step.work.busy * factor)

        return BatchingStep(self._environment, processes=step.processes, most=most, compute=compute)

    def _on_cores(self, batch: Sequence[Waiting]) -> Events:
        engine, rows = self._times.engine, sum(each.rows for each in batch)
        factor = sum(each.rows * each.factor for each in batch) / rows
        under_way: list[simpy.Event] = []
        for number, size in enumerate(engine.parts(rows)):
            if number >= engine.streams:  # the parts before have all streams
                yield under_way[number - engine.streams]
            work = (engine.part + engine.row * size) * factor
            under_way.append(self._cores.work(work.alone, work.busy))
        yield from under_way[-engine.streams :]

    def _on_device(self, batch: Sequence[Waiting]) -> Events:
        yield self._environment.timeout(self._times.engine.device_seconds(sum(each.rows for each in batch)))
