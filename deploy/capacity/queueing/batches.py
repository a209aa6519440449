"""A step that takes what waits for it as one batch, as Triton's dynamic batching does."""

import collections
import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import Any

import simpy


@dataclasses.dataclass(kw_only=True, slots=True)
class Waiting:
    """A request's part for a step.

    rows      of the batch that it takes up: faces
    factor    by which its work differs from the mean
    """

    rows: int
    factor: float
    done: simpy.Event


# What a batch does; the step's process is taken until its end.
Compute = Callable[[Sequence[Waiting]], Generator[simpy.Event, Any, None]]


class BatchingStep:
    """`processes` of a step; a free one takes all whole requests that wait, up to `most` rows."""

    def __init__(
        self, environment: simpy.Environment, *, processes: int, most: int, compute: Compute
    ) -> None:
        self._environment = environment
        self._free = self.processes = processes
        self._most = most
        self._compute = compute
        self._waiting: collections.deque[Waiting] = collections.deque()
        self.busy_seconds = 0.0  # of all its processes
        self.batches = 0
        self.rows = 0

    def enter(self, *, rows: int, factor: float) -> simpy.Event:
        """Ends when a batch with these rows was computed."""
        waiting = Waiting(rows=rows, factor=factor, done=self._environment.event())
        self._waiting.append(waiting)
        self._begin()
        return waiting.done

    @property
    def mean_batch(self) -> float:
        return self.rows / self.batches if self.batches else 0.0

    def _begin(self) -> None:
        while self._free and self._waiting:
            taken = [self._waiting.popleft()]
            rows = taken[0].rows
            while self._waiting and rows + self._waiting[0].rows <= self._most:
                taken.append(self._waiting.popleft())
                rows += taken[-1].rows
            self._free -= 1
            self.batches += 1
            self.rows += rows
            self._environment.process(self._run(taken))

    def _run(self, batch: Sequence[Waiting]) -> Generator[simpy.Event, Any, None]:
        began = self._environment.now
        yield from self._compute(batch)
        self.busy_seconds += self._environment.now - began
        self._free += 1
        for each in batch:
            each.done.succeed()
        self._begin()


class HeldProcesses:
    """`processes` of a step, each of which is one request's from `take` to `give_back`."""

    def __init__(self, environment: simpy.Environment, *, processes: int) -> None:
        self._environment = environment
        self._free = self.processes = processes
        self._waiting: collections.deque[simpy.Event] = collections.deque()
        self._since = environment.now
        self._busy_seconds = 0.0

    def take(self) -> simpy.Event:
        """Ends when one is this request's."""
        turn = self._environment.event()
        if self._free:
            self._count()
            self._free -= 1
            turn.succeed()
        else:
            self._waiting.append(turn)
        return turn

    def give_back(self) -> None:
        if self._waiting:
            self._waiting.popleft().succeed()
        else:
            self._count()
            self._free += 1

    @property
    def busy_seconds(self) -> float:
        """Of all processes."""
        self._count()
        return self._busy_seconds

    def _count(self) -> None:
        now = self._environment.now
        self._busy_seconds += (now - self._since) * (self.processes - self._free)
        self._since = now
