"""Callers in threads of this process: each calls again once it was answered, or calls come on their own.

A latency counts from when the call was due. Senders without a thread a call: `deploy.loadtest.generator`.
"""

import functools
import queue
import threading
import time
from collections.abc import Callable, Sequence

from .sample import CLIENT, Sample

_THREADS = 64  # answers that may be awaited at once, where calls come on their own

Ask = Callable[[], object]
_Work = Callable[[list[float], list[Exception]], None]  # adds to the latencies, and to what failed


def closed_loop(ask: Ask, *, clients: int, seconds: float) -> Sample:
    """So many clients, each of which calls again once it was answered, once at least.

    The first exception of `ask` ends all, and is raised.
    """
    end = time.monotonic() + seconds

    def client(latencies: list[float], failed: list[Exception]) -> None:
        first = True
        while not failed and ((due := time.monotonic()) < end or first):
            ask()
            latencies.append(time.monotonic() - due)
            first = False

    return _sample([client] * clients)


def open_loop(ask: Ask, *, dues: Sequence[float]) -> Sample:
    """Calls that are due so many seconds from now, ascending, whatever becomes of those before.

    The first exception of `ask` is raised once all calls have ended.
    """
    waiting: queue.SimpleQueue[float | None] = queue.SimpleQueue()

    def client(latencies: list[float], failed: list[Exception]) -> None:
        while (due := waiting.get()) is not None:
            try:
                ask()
                latencies.append(time.monotonic() - due)
            except Exception as error:
                failed.append(error)

    def arrivals(latencies: list[float], failed: list[Exception]) -> None:
        began = time.monotonic()
        for due in dues:
            time.sleep(max(0.0, began + due - time.monotonic()))
            waiting.put(began + due)
        for _ in range(_THREADS):
            waiting.put(None)

    return _sample([arrivals, *[client] * _THREADS])


def _sample(works: Sequence[_Work]) -> Sample:
    """Runs each in a thread; the processor time of this process is the clients'."""
    latencies, failed = list[float](), list[Exception]()

    def run(work: _Work) -> None:
        try:
            work(latencies, failed)
        except Exception as error:
            failed.append(error)

    before, began = time.process_time(), time.monotonic()
    threads = [threading.Thread(target=functools.partial(run, work)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return Sample(
        answers=len(latencies),
        seconds=time.monotonic() - began,
        core_seconds={CLIENT: time.process_time() - before},
        latencies=latencies,
    )
