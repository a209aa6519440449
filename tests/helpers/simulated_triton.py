"""A host with Triton as a discrete-event simulation: a request passes stages, each with a queue before it."""

import asyncio
import collections
import random
from collections.abc import Callable, Sequence
from typing import Protocol

Done = Callable[[], None]


class Stage(Protocol):
    """Takes work in and calls back when it is done."""

    def start(self, rows: int, done: Done) -> None: ...


class Instances:
    """`count` instances that answer one request at a time each, on `cores` shared equally."""

    def __init__(self, seconds: float, *, count: int, cores: float, seed: int = 0) -> None:
        self._seconds, self._count, self._cores = seconds, count, cores
        self._random = random.Random(seed)
        self._queue: collections.deque[tuple[int, Done]] = collections.deque()
        self._at_work: list[tuple[list[float], Done]] = []
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, rows: int, done: Done) -> None:
        self._queue.append((rows, done))
        self._go_on()

    def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        speed = min(1.0, self._cores / max(1, len(self._at_work)))
        for left, _ in self._at_work:
            left[0] -= (loop.time() - self._since) * speed
        self._since = loop.time()
        ready = [done for left, done in self._at_work if left[0] <= 1e-9]
        self._at_work = [job for job in self._at_work if job[0][0] > 1e-9]
        while self._queue and len(self._at_work) < self._count:
            rows, done = self._queue.popleft()
            self._at_work.append(([self._seconds * rows * self._random.uniform(0.7, 1.3)], done))
        if self._timer is not None:
            self._timer.cancel()
        if self._at_work:
            speed = min(1.0, self._cores / len(self._at_work))
            self._timer = loop.call_later(
                max(1e-9, min(left[0] for left, _ in self._at_work) / speed), self._go_on
            )
        for done in ready:
            done()


class BatchingEngine:
    """One engine that takes up to `most` rows at a time: `fixed` seconds and `per_row` for each."""

    def __init__(self, *, fixed: float, per_row: float, most: int = 32) -> None:
        self._fixed, self._per_row, self._most = fixed, per_row, most
        self._queue: collections.deque[tuple[int, Done]] = collections.deque()
        self._busy = False

    def start(self, rows: int, done: Done) -> None:
        self._queue.append((rows, done))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        batch: list[Done] = []
        rows = 0
        while self._queue and (not batch or rows + self._queue[0][0] <= self._most):
            more, done = self._queue.popleft()
            rows += more
            batch.append(done)
        self._busy = bool(batch)
        if batch:
            asyncio.get_running_loop().call_later(self._fixed + self._per_row * rows, self._finish, batch)

    def _finish(self, batch: list[Done]) -> None:
        self._next()
        for done in batch:
            done()


class SimulatedTriton:
    """Models, each a sequence of stages; stages may be shared between models."""

    def __init__(self, models: dict[str, Sequence[Stage]]) -> None:
        self._models = models

    def infer(self, model: str, *, rows: int, done: Done) -> None:
        """Calls `done` when the request has passed all its stages."""
        self._pass(tuple(self._models[model]), rows, done)

    def _pass(self, stages: tuple[Stage, ...], rows: int, done: Done) -> None:
        if not stages:
            done()
        else:
            stages[0].start(rows, lambda: self._pass(stages[1:], rows, done))
