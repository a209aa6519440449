"""Faults of processes: each of the gateway's is killed, and each is frozen."""

import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from deploy.benchmark.faults.fault import Fault, Scene
from deploy.gateway.operation.workers.doors import GRPC, REST
from deploy.measuring.processes import (
    model_names,
    model_processes,
    processes_below,
    resident_bytes,
    send,
    tritons,
)

_UNDISTURBED = 6.0  # seconds of the row without a fault
_FROZEN_SECONDS = 1.0  # between SIGSTOP and SIGCONT

Signals = tuple[signal.Signals, ...]
KILL: tuple[str, Signals] = ("killed", (signal.SIGKILL,))
FREEZE: tuple[str, Signals] = ("frozen", (signal.SIGSTOP,))
FREEZE_AND_THAW: tuple[str, Signals] = ("frozen for a second", (signal.SIGSTOP, signal.SIGCONT))
_STANDBY = ("--standby", "always")
_FRONTS = ("--processes", "2")


def faults(repository: Path, *, quick: bool) -> Iterator[Fault]:
    """Of every Python model of the repository, of Triton, of its guard, of the gateway's own processes.

    quick   of models only those that several tasks need
    """
    shared = list(filter(_works_for_all, model_names(repository)))
    yield Fault("none", _nothing)
    for word, signals in (KILL, FREEZE):
        for model in shared if quick else model_names(repository):
            yield Fault(f"{model} {word}", partial(_model, model, signals))
    word, signals = FREEZE_AND_THAW
    for model in shared:
        yield Fault(f"{model} {word}", partial(_model, model, signals))
    for who, pid in (("Triton", _triton), ("Triton's guard", _guard)):
        for word, signals in (KILL, FREEZE):
            yield Fault(f"{who} {word}", partial(_process, pid, signals))
    for word, signals in (KILL, FREEZE):
        yield Fault(f"the gateway's main process {word}", partial(_main, signals))
    for word, signals in (KILL, FREEZE):
        yield Fault(f"standby {word}", partial(_standby, signals), arguments=_STANDBY)
    yield Fault("Triton killed beside a standby", partial(_process, _triton, KILL[1]), arguments=_STANDBY)
    for word, signals in (KILL, FREEZE):
        yield Fault(f"further front {word}", partial(_front, GRPC, signals), arguments=_FRONTS)
    for word, signals in (KILL, FREEZE):
        yield Fault(f"REST process {word}", partial(_front, REST, signals), rest=True)


def _works_for_all(model: str) -> bool:
    """Whether requests for several tasks need the model."""
    return not model.endswith("_postprocess")


def _nothing(scene: Scene) -> None:
    time.sleep(2.0 if scene.quick else _UNDISTURBED)
    memory = sum(resident_bytes(scene.supervisor).values())
    scene.notes.append(f"all processes together {memory / 2**20:.0f} MiB")


def _signal(scene: Scene, pid: int, signals: Signals) -> None:
    for number in signals:
        if number is signal.SIGCONT:
            time.sleep(_FROZEN_SECONDS)
            if pid not in processes_below(scene.supervisor):
                return  # it was found and killed meanwhile
        send(pid, number, below=scene.supervisor)


def _model(model: str, signals: Signals, scene: Scene) -> float:
    triton = scene.gateway.triton_pid
    pid = model_processes(triton)[model][0]
    _signal(scene, pid, signals)
    return scene.whole(pid, triton)


def _triton(scene: Scene) -> int:
    return scene.gateway.triton_pid


def _guard(scene: Scene) -> int:
    """The parent of the Triton that answers."""
    return processes_below(scene.supervisor)[scene.gateway.triton_pid].parent


def _process(find: Callable[[Scene], int], signals: Signals, scene: Scene) -> float:
    pid, triton = find(scene), scene.gateway.triton_pid
    _signal(scene, pid, signals)
    return scene.whole(pid, triton)


def _main(signals: Signals, scene: Scene) -> float:
    pids = (scene.gateway.pid, scene.gateway.triton_pid)
    _signal(scene, pids[0], signals)
    return scene.whole(*pids)


def _standby(signals: Signals, scene: Scene) -> float:
    """Another one takes its place; the Triton that answers stays."""
    active = scene.gateway.triton_pid
    (pid,) = set(tritons(scene.supervisor)) - {active}
    began = time.monotonic()
    _signal(scene, pid, signals)
    scene.until(
        lambda: pid not in tritons(scene.supervisor) and bool(scene.gateway.status()["standby_ready"])
    )
    assert scene.gateway.triton_pid == active, "the Triton that answers was replaced too"
    return time.monotonic() - began


def _front(door: str, signals: Signals, scene: Scene) -> float:
    """Its calls to Triton are cut off, so that Triton is replaced too."""
    triton = scene.gateway.triton_pid
    (pid,) = [front["pid"] for front in scene.gateway.status()["further_fronts"] if front["door"] == door]
    began = time.monotonic()
    _signal(scene, int(pid), signals)
    scene.until(
        lambda: any(
            front["listening"] and front["door"] == door and front["pid"] != pid
            for front in scene.gateway.status()["further_fronts"]
        )
    )
    scene.whole(int(pid))
    if scene.gateway.triton_pid != triton:
        scene.notes.append("Triton was replaced too")
    return time.monotonic() - began
