"""Faults of resources: memory and disks that are full, descriptors that are in use, a clock that jumps."""

import contextlib
import resource
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import grpc

from deploy.benchmark.faults import full_places, wall_clock
from deploy.benchmark.faults.fault import Fault, Scene
from deploy.benchmark.faults.whole import is_ready
from deploy.benchmark.load import End
from deploy.benchmark.load.sample_requests import CHANNEL
from deploy.gateway.front.methods import SERVICE
from deploy.measuring.processes import model_processes, processes_below

_FEW_DESCRIPTORS = 400  # of each process of the gateway
_CONNECTIONS = 600  # of a client that holds more than that
_SPARE = 4  # descriptors that a process has left
_SPARE_MEMORY = 1 << 20  # bytes that a process may still map
_HELD_SECONDS = 5.0
_CALL_SECONDS = 10.0


def faults() -> Iterator[Fault]:
    yield from full_places.faults()
    few = ("prlimit", f"--nofile={_FEW_DESCRIPTORS}:{_FEW_DESCRIPTORS}")
    yield Fault("connections take all descriptors while Triton is killed", _connections, True, few)
    yield Fault("no descriptor left in the main process", partial(_descriptors, _main), True)
    yield Fault("no descriptor left in Triton", partial(_descriptors, _triton), True)
    yield Fault("no descriptor left in the models' processes", partial(_descriptors, _models), True)
    yield Fault("no memory left for the models' processes", _memory, True)
    yield from wall_clock.faults()


def _connections(scene: Scene) -> float:
    """A client holds all connections that the gateway takes, and a process of it is killed meanwhile."""
    host, _, port = scene.gateway.grpc_address.rpartition(":")
    triton = scene.gateway.triton_pid
    with contextlib.ExitStack() as held:
        for _ in range(_CONNECTIONS):
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_connection((host, int(port)), timeout=1.0))
        refused = _new_client(scene)
        full_places.kill_a_model(scene)
        whole = scene.whole(triton)
        scene.wait_for(1)
    scene.until(lambda: _new_client(scene))
    scene.notes.append("a new client was " + ("served" if refused else "refused") + " meanwhile")
    return whole


def _new_client(scene: Scene) -> bool:
    """Whether one that connects now is answered; its outcome counts."""
    options = (*CHANNEL, ("grpc.use_local_subchannel_pool", 1))
    with grpc.insecure_channel(scene.gateway.grpc_address, options=options) as channel:
        try:
            channel.unary_unary(f"/{SERVICE}/ServerReady")(b"", timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            code = error.code().name
            scene.count(End.REFUSED, code=code, details=str(error))
            return False
    return True


def _main(scene: Scene) -> list[int]:
    return [scene.gateway.pid]


def _triton(scene: Scene) -> list[int]:
    return [scene.gateway.triton_pid]


def _models(scene: Scene) -> list[int]:
    return [pid for pids in model_processes(scene.gateway.triton_pid).values() for pid in pids]


def _memory(scene: Scene) -> float:
    """They get no more than they have: one that needs more dies, or its request fails, and all is whole."""
    pids = _models(scene)
    for pid in pids:
        taken = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (taken + _SPARE_MEMORY, resource.RLIM_INFINITY))
    before = scene.gateway.triton_pid
    with grpc.insecure_channel(scene.gateway.grpc_address, options=CHANNEL) as channel:
        for _ in range(1 if scene.quick else 4):
            full_places.status_of_large_photo(scene, channel)
    began = time.monotonic()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    scene.whole()
    replaced = scene.gateway.triton_pid != before
    scene.notes.append(
        "a process died of it, and Triton was replaced" if replaced else "no process died of it"
    )
    return time.monotonic() - began


def _descriptors(whose: Callable[[Scene], list[int]], scene: Scene) -> float:
    """The limit of running processes sinks to what they have open; then it is as before."""
    pids = whose(scene)
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
    assert set(pids) <= set(processes_below(scene.supervisor))
    for pid, (_, most) in before.items():
        highest = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + _SPARE, most))
    host, _, port = scene.gateway.grpc_address.rpartition(":")
    with contextlib.ExitStack() as held:
        for _ in range(8 * _SPARE):
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_connection((host, int(port)), timeout=1.0))
        time.sleep(1.0 if scene.quick else _HELD_SECONDS)
        scene.wait_for(1 if scene.quick else 50)
    for pid, limits in before.items():
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    began = time.monotonic()
    scene.until(lambda: is_ready(scene.gateway))
    scene.whole()
    return time.monotonic() - began
