"""A process of clients: threads that ask through one FaceClient and read every answer.

    python -m deploy.benchmark.answer_cost.client_process

It is a worker (`workers.answer_requests`); its processor time counts as the clients'.
"""

import functools
import inspect
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.measuring.workers import answer_requests
from qface_client import Face, FaceClient

_TIMEOUT = 60.0  # seconds, of a request
_OPEN_LOOP_THREADS = 64  # answers that may be awaited at once, under a load that arrives by itself

Ask = Callable[[], Sequence[Face]]


def read_answers(faces: Sequence[Face]) -> int:
    """Reads all that every face's answers hold; the number of faces."""
    for face in faces:
        for answer in face.answers.values():
            for name in _names(type(answer)):
                getattr(answer, name)
            if isinstance(answer, Mapping):
                dict(answer)
    return len(faces)


@functools.cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """What an answer of this type holds: its slots and its properties, made when it is read or before."""
    held = inspect.getmembers(
        kind, lambda value: inspect.isdatadescriptor(value) or isinstance(value, functools.cached_property)
    )
    return tuple(name for name, _ in held if not name.startswith("_"))


def closed_loop(ask: Ask, *, clients: int, seconds: float) -> list[float]:
    """The latencies of so many clients, each of which asks again once answered; the first failure."""
    end = time.perf_counter() + seconds
    latencies: list[list[float]] = [[] for _ in range(clients)]
    failed: list[Exception] = []

    def client(mine: list[float]) -> None:
        try:
            while not failed and ((began := time.perf_counter()) < end or not mine):
                read_answers(ask())
                mine.append(time.perf_counter() - began)
        except Exception as error:
            failed.append(error)

    _run_threads([functools.partial(client, mine) for mine in latencies])
    if failed:
        raise failed[0]
    return [latency for mine in latencies for latency in mine]


def open_loop(ask: Ask, *, rate: float, seconds: float, seed: int) -> list[float]:
    """The latencies of requests that arrive by themselves (Poisson), from when each was due."""
    random = np.random.default_rng(seed)
    dues = np.cumsum(random.exponential(1 / rate, size=max(1, round(rate * seconds))))
    waiting: queue.SimpleQueue[float | None] = queue.SimpleQueue()
    latencies: list[float] = []
    failed: list[Exception] = []

    def client() -> None:
        while (due := waiting.get()) is not None:
            try:
                read_answers(ask())
                latencies.append(time.perf_counter() - due)
            except Exception as error:
                failed.append(error)

    def arrivals() -> None:
        began = time.perf_counter()
        for due in began + dues:
            time.sleep(max(0.0, due - time.perf_counter()))
            waiting.put(float(due))
        for _ in range(_OPEN_LOOP_THREADS):
            waiting.put(None)

    _run_threads([arrivals, *[client] * _OPEN_LOOP_THREADS])
    if failed:
        raise failed[0]
    return latencies


def _run_threads(works: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Clients:
    """The methods of the worker; `request` is a `Request` of `rows` as plain data."""

    def __init__(self) -> None:
        self._client = functools.cache(functools.partial(FaceClient, timeout=_TIMEOUT))

    def detect(self, *, address: str, file: str) -> Mapping[str, Any]:
        """The box and the landmarks of the first face of a photo; ValueError without a face."""
        faces = self._client(address).detect(Path(file).read_bytes())
        if not faces or faces[0].landmarks5 is None:
            raise ValueError(f"there is no face in {file}: is the detector served?")
        return {"box": list(faces[0].box), "landmarks": faces[0].landmarks5.tolist()}

    def look(self, *, address: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """How many faces an answer has."""
        return {"faces": read_answers(self._ask(address, request)())}

    def closed(
        self, *, address: str, request: Mapping[str, Any], clients: int, seconds: float
    ) -> Mapping[str, Any]:
        """`closed_loop` of a request."""
        ask, before = self._ask(address, request), time.process_time()
        latencies = closed_loop(ask, clients=clients, seconds=seconds)
        return {"latencies": latencies, "core_seconds": time.process_time() - before}

    def open(
        self, *, address: str, request: Mapping[str, Any], rate: float, seconds: float, seed: int
    ) -> Mapping[str, Any]:
        """`open_loop` of a request."""
        ask, before = self._ask(address, request), time.process_time()
        latencies = open_loop(ask, rate=rate, seconds=seconds, seed=seed)
        return {"latencies": latencies, "core_seconds": time.process_time() - before}

    def _ask(self, address: str, request: Mapping[str, Any]) -> Ask:
        client, tasks = self._client(address), request["tasks"]
        if request["crop"]:
            crop = np.load(request["file"])
            return lambda: [client.analyze_crop(crop, tasks)]
        encoded = Path(request["file"]).read_bytes()
        if request["box"] is None:
            return lambda: client.analyze(encoded, tasks)
        place = {"box": request["box"], "landmarks": request["landmarks"]}
        return lambda: [client.analyze_face(encoded, tasks=tasks, **place)]


if __name__ == "__main__":
    clients = Clients()
    answer_requests(
        {
            "detect": clients.detect,
            "look": clients.look,
            "closed": clients.closed,
            "open": clients.open,
        }
    )
