"""Faults of places that are full: the shared memory, the disk of logs and sockets, that of a repository."""

import atexit
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.faults.fault import Fault, Scene
from deploy.benchmark.faults.private_mounts import NOBODY_MOUNTS, Filler, mounted, seen_by, way_to_mount
from deploy.benchmark.load.mix import PHOTOS
from deploy.benchmark.load.sample_requests import CHANNEL, jpeg, request_for
from deploy.embedded.environment import PROJECT
from deploy.embedded.errors import CannotStart
from deploy.embedded.process_guard import SHARED_MEMORY
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.processes import model_processes, send

_MEBIBYTE = 1 << 20
_LARGE_SIDE = 2500  # pixels of a photo of noise
_LARGE_SECONDS = 60.0  # that a client waits for its answer
_REPOSITORY_SIZE = 4 * _MEBIBYTE  # of a disk on which no repository of a real network has room
_LOG, _ACCESS_LOG, _READY_FILE, _SOCKETS = "triton.log", "access.log", "ready", "sockets"


def faults() -> Iterator[Fault]:
    """Each with mounts of its own, whose folders vanish with this process."""
    shared = mounted({SHARED_MEMORY: 512 * _MEBIBYTE})
    yield Fault("shared memory full", _where_mounting_works(_shared_memory), True, shared)
    yield Fault(
        "shared memory full while a model's process is killed",
        _where_mounting_works(_killed_without_shared_memory),
        True,
        shared,
    )
    yield Fault("a start beside it with 4 MiB of shared memory", _where_mounting_works(_start_with_little))
    place = disk()
    yield Fault(
        "the disk of logs, ready file and sockets full while a model's process is killed",
        _where_mounting_works(_disk),
        True,
        (*mounted({place: 8 * _MEBIBYTE}, files=64), *_environment(place)),
        _arguments(place),
    )
    yield Fault("the disk full while a repository is assembled", _where_mounting_works(_assembly))


@functools.cache
def disk() -> Path:
    """A folder, the same for all of this process, where a small disk is mounted."""
    folder = Path(tempfile.mkdtemp(prefix="qface-disk-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _environment(place: Path) -> tuple[str, ...]:
    return ("env", f"TMPDIR={place}", f"XDG_RUNTIME_DIR={place}")


def _arguments(place: Path) -> tuple[str, ...]:
    files = {"--log": _LOG, "--access-log": _ACCESS_LOG, "--ready-file": _READY_FILE}
    return tuple(word for flag, name in files.items() for word in (flag, str(place / name)))


def _where_mounting_works(happen: Callable[[Scene], float | None]) -> Callable[[Scene], float | None]:
    def happens(scene: Scene) -> float | None:
        if way_to_mount() is None:
            scene.notes.append(NOBODY_MOUNTS)
            return None
        return happen(scene)

    return happens


def _shared_memory(scene: Scene) -> float:
    with grpc.insecure_channel(scene.gateway.grpc_address, options=CHANNEL) as channel:
        with Filler(seen_by(scene.gateway.pid, SHARED_MEMORY)):
            code = status_of_large_photo(scene, channel)
            assert code == "RESOURCE_EXHAUSTED", f"a large photo without shared memory got {code}"
            scene.wait_for(1 if scene.quick else 50)
        began = time.monotonic()
        scene.until(lambda: status_of_large_photo(scene, channel) == "OK")
    scene.whole()
    scene.notes.append("a photo of 6 megapixels was refused meanwhile, and answered afterwards")
    return time.monotonic() - began


def status_of_large_photo(scene: Scene, channel: grpc.Channel) -> str:
    """What a photo of noise gets, whose file alone is larger than the load's; it counts."""
    noise = np.random.default_rng(0).integers(0, 256, (_LARGE_SIDE, _LARGE_SIDE, 3), dtype=np.uint8)
    request = request_for(scene.samples.configs[PHOTOS], encoded=jpeg(noise), pixels=noise)
    return scene.ask(v2_grpc.GRPCInferenceServiceStub(channel), request, deadline=_LARGE_SECONDS)


def _killed_without_shared_memory(scene: Scene) -> float:
    with Filler(seen_by(scene.gateway.pid, SHARED_MEMORY)):
        hurt = kill_a_model(scene)
        _wait_for_a_failed_repair(scene)
    return scene.whole(*hurt)


def kill_a_model(scene: Scene) -> tuple[int, int]:
    """Kills a process of a model; its pid and that of its Triton."""
    triton = scene.gateway.triton_pid
    pid = next(iter(model_processes(triton).values()))[0]
    send(pid, signal.SIGKILL, below=scene.supervisor)
    return pid, triton


def _wait_for_a_failed_repair(scene: Scene) -> None:
    scene.until(lambda: scene.gateway.triton_pid == 0)
    time.sleep(2.0 if scene.quick else 10.0)
    assert scene.gateway.triton_pid == 0, "a Triton started where there was no room for it"


def _start_with_little(scene: Scene) -> None:
    prefix = mounted({SHARED_MEMORY: 4 * _MEBIBYTE})
    try:
        with GatewayServer(scene.repository, prefix=prefix):
            raise AssertionError("it started")
    except CannotStart as error:
        sentence = str(error)
    assert "need" in sentence, sentence
    assert "--shm-size" in sentence, sentence
    scene.notes.append(sentence)


def _disk(scene: Scene) -> float:
    place = seen_by(scene.supervisor, disk())
    with Filler(place):
        hurt = kill_a_model(scene)
        _wait_for_a_failed_repair(scene)
    took = scene.whole(*hurt)
    began = time.monotonic()
    address = f"{scene.gateway.grpc_address}\n"
    scene.until(lambda: (place / _READY_FILE).is_file() and (place / _READY_FILE).read_text() == address)
    size = (place / _ACCESS_LOG).stat().st_size
    scene.until(lambda: (place / _ACCESS_LOG).stat().st_size > size)
    assert "found no room" in (place / _LOG).read_text() or scene.quick, "no line names what the log lost"
    return took + time.monotonic() - began


def _assembly(scene: Scene) -> None:
    """Of the shipped weights, on a disk that is too small at first; the gateway serves on meanwhile."""
    command = [sys.executable, "-m", "build.stages.repository", "--output", str(scene.folder)]
    script = f"\"$@\"; ls -A '{scene.folder}' >&2; mount -o remount,size=1g '{scene.folder}' && \"$@\""
    done = subprocess.run(
        [*mounted({scene.folder: _REPOSITORY_SIZE}), "sh", "-c", script, "sh", *command],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name != "SERVED_TASKS"},
        capture_output=True,
        text=True,
        check=False,
    )
    sentence, *left = done.stderr.splitlines()
    assert "No space left on device" in sentence, done.stderr
    assert "MB" in sentence, sentence
    assert left == [".repository.lock"], f"the failed assembly left {left}"
    assert done.returncode == 0, f"with room it failed: {done.stderr}"
    scene.notes.append(f"it ended with: {sentence.replace(str(scene.folder), 'DIR')}; with room it succeeded")
