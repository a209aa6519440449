"""Faults of the end: signals while requests are in flight, and the death of what keeps everything."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import grpc
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.faults.fault import Fault, Scene
from deploy.benchmark.load import End
from deploy.benchmark.load.mix import EVERYTHING
from deploy.benchmark.load.outcomes import RETRYABLE
from deploy.benchmark.load.sample_requests import CHANNEL
from deploy.measuring.processes import processes_below, running

_BURST = 12  # requests that are sent just before the signal, so that work is in flight
_ARRIVED = 0.3  # seconds after which a request counts as arrived
_SECOND = 0.3  # seconds between signals
_THAWED = 2.0  # seconds that a frozen supervisor stays so
_DEADLINE = 60.0


def faults() -> Iterator[Fault]:
    for word, number in (("SIGTERM", signal.SIGTERM), ("Ctrl-C", signal.SIGINT)):
        yield Fault(f"{word} with work in flight", partial(_end, (number,)), fresh=True)
    yield Fault("SIGTERM twice", partial(_end, (signal.SIGTERM,) * 2), fresh=True)
    yield Fault("Ctrl-C three times", partial(_end, (signal.SIGINT,) * 3), fresh=True)
    yield Fault("supervisor killed", _kill_supervisor, fresh=True)
    yield Fault("supervisor frozen for two seconds", _freeze_supervisor)


class _Burst:
    """Requests that are in flight together, each on the same connection; every end is counted."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._sample = scene.samples.of(EVERYTHING, 0)
        self.codes: list[str] = []
        self._channel = grpc.insecure_channel(scene.gateway.grpc_address, options=CHANNEL)
        stub = v2_grpc.GRPCInferenceServiceStub(self._channel)
        self._threads = [threading.Thread(target=self._one, args=(stub,), daemon=True) for _ in range(_BURST)]
        for thread in self._threads:
            thread.start()

    def _one(self, stub: v2_grpc.GRPCInferenceServiceStub) -> None:
        sample = self._sample
        self.codes.append(self._scene.ask(stub, sample.request, deadline=_DEADLINE, sample=sample))

    def finish(self) -> None:
        for thread in self._threads:
            thread.join(2 * _DEADLINE)
        self._channel.close()
        assert len(self.codes) == _BURST, f"{_BURST - len(self.codes)} requests neither ended nor failed"
        assert set(self.codes) <= {"OK", *RETRYABLE}, f"ends of good requests: {set(self.codes)}"


def _end(numbers: Sequence[signal.Signals], scene: Scene) -> float:
    """Seconds from the first signal until another gateway, started as by a service manager, is whole."""
    supervisor, below = scene.supervisor, processes_below(scene.supervisor)
    burst = _Burst(scene)
    time.sleep(_ARRIVED)
    began = time.monotonic()
    for turn, number in enumerate(numbers):
        if turn:
            time.sleep(_SECOND)
        os.kill(supervisor, number)
    scene.until(lambda: not scene.gateway.running)
    ended = time.monotonic() - began
    burst.finish()
    assert not (left := running(below)), f"{len(left)} processes outlived the gateway"
    scene.notes.append(f"ended after {ended:.1f} s; {_under_way(scene, began)}")
    if len(numbers) == 1:
        _check_accepted(scene, arrived_by=began)
    scene.start_again()
    return time.monotonic() - began


def _under_way(scene: Scene, moment: float) -> str:
    """What became of the requests that were begun before the signal and had no answer then."""
    ends = Counter(
        "answered" if outcome.end is End.ANSWERED else outcome.code
        for outcome in (*scene.load.outcomes, *scene.outcomes)
        if outcome.model != "FaceClient" and outcome.began < moment < outcome.ended
    )
    return "of requests under way " + ", ".join(f"{count} {end}" for end, count in ends.most_common())


def _check_accepted(scene: Scene, *, arrived_by: float) -> None:
    """What had arrived before the signal was answered, or refused for what it would have been refused for."""
    late = [
        outcome
        for outcome in (*scene.load.outcomes, *scene.outcomes)
        if outcome.began < arrived_by - _ARRIVED < arrived_by < outcome.ended and outcome.code == RETRYABLE[0]
    ]
    assert not late, f"{len(late)} accepted requests were not answered, the first: {late[0].details}"


def _kill_supervisor(scene: Scene) -> float:
    """All ends with it; a service manager starts the gateway again, as `start_again` does here."""
    below = processes_below(scene.supervisor)
    began = time.monotonic()
    os.kill(scene.supervisor, signal.SIGKILL)
    scene.until(lambda: not scene.gateway.running and not running(below))
    scene.notes.append(f"all its processes had ended after {time.monotonic() - began:.1f} s")
    scene.start_again()
    return time.monotonic() - began


def _freeze_supervisor(scene: Scene) -> None:
    """It has no part in an answer: nothing is to be noticed."""
    before = (scene.gateway.pid, scene.gateway.triton_pid)
    os.kill(scene.supervisor, signal.SIGSTOP)
    try:
        scene.wait_for(16)
        time.sleep(_THAWED)
    finally:
        os.kill(scene.supervisor, signal.SIGCONT)
    scene.wait_for(16)
    assert (scene.gateway.pid, scene.gateway.triton_pid) == before, "something was replaced"
