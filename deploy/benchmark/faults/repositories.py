"""Faults of what is served: another takes over, fails to, is taken back, or its files are damaged."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from build.files import sha256_of_file
from build.manifest import MANIFEST
from deploy.benchmark.faults.fault import Fault, Scene
from deploy.benchmark.load.mix import PHOTOS
from deploy.gateway.operation.control import ControlError
from deploy.measuring.processes import send

_FAILING_SECONDS = 3.0  # in which repairs fail, before the file is mended
_DAMAGED_BYTES = 64

# What is written behind the source of a model that is not run before it is asked, so that its canary fails.
_NOT_ANSWERING = """

def _refuse(self, requests):
    raise ValueError("nothing is good enough")


TritonPythonModel.execute = _refuse
"""
_DYING = """

def _die(self, requests):
    import os
    os.kill(os.getpid(), 9)


TritonPythonModel.execute = _die
"""


def faults() -> Iterator[Fault]:
    """The good ones last, since they leave the gateway with another repository."""
    yield Fault("swap to a corrupt engine", partial(_refused, _corrupt))
    yield Fault("swap to a corrupt engine that its manifest agrees with", partial(_refused, _corrupt_sealed))
    for name, source in (("does not answer", _NOT_ANSWERING), ("dies of a request", _DYING)):
        yield Fault(f"swap to a version that {name}", partial(_refused, partial(_append, source)))
    yield Fault("swap", _swap)
    yield Fault("rollback", _rollback)
    yield Fault("engine corrupted while it is served, Triton killed, the file mended", _mended)
    yield Fault("engine corrupted while it is served, Triton killed, rolled back", _rolled_back)


def _largest_file(repository: Path) -> Path:
    """The network's."""
    return max(repository.glob("models/*/*/*"), key=lambda path: path.stat().st_size)


def _corrupt(repository: Path) -> None:
    """Other bytes in the middle of the network, in place."""
    path = _largest_file(repository)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        found = file.read(_DAMAGED_BYTES)
        file.seek(-len(found), 1)
        file.write(bytes(byte ^ 0xFF for byte in found))


def _corrupt_sealed(repository: Path) -> None:
    """The network lacks its second half, and was so when the manifest was written."""
    path = _largest_file(repository)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _seal(repository, path)


def _append(source: str, repository: Path) -> None:
    """To the source of a model, as if it had been released so."""
    path = repository / "models" / PHOTOS / "1" / "model.py"
    path.write_text(path.read_text() + source)
    _seal(repository, path)


def _seal(repository: Path, changed: Path) -> None:
    manifest = repository / MANIFEST
    about = json.loads(manifest.read_text())
    about["files"][str(changed.relative_to(repository))] = sha256_of_file(changed)
    manifest.write_text(json.dumps(about))


def _refused(damage: Callable[[Path], None], scene: Scene) -> None:
    """The swap is refused with a sentence, and nothing changes."""
    gateway, copy = scene.gateway, scene.copy_of_repository()
    damage(copy)
    before = _state(scene)
    began = time.monotonic()
    try:
        gateway.swap(copy)
    except ControlError as error:
        sentence = str(error).replace(str(copy), "REPOSITORY")
    else:
        raise AssertionError("the swap was not refused")
    assert len(sentence.splitlines()) == 1, f"more than a sentence: {sentence}"
    assert _state(scene) == before, "something changed"
    scene.notes.append(f"refused after {time.monotonic() - began:.1f} s: {sentence}")


def _state(scene: Scene) -> tuple[object, ...]:
    status = scene.gateway.status()
    return (status["pid"], scene.gateway.triton_pid, status["repository"], status["previous"])


def _swap(scene: Scene) -> float:
    """To a copy of the same files."""
    copy = scene.copy_of_repository()
    before = scene.gateway.triton_pid
    began = time.monotonic()
    scene.gateway.swap(copy)
    scene.whole(before)
    return time.monotonic() - began


def _rollback(scene: Scene) -> float:
    if scene.gateway.status()["previous"] is None:
        _swap(scene)
    before = scene.gateway.triton_pid
    began = time.monotonic()
    scene.gateway.rollback()
    scene.whole(before)
    return time.monotonic() - began


def _corrupt_what_is_served(scene: Scene) -> Callable[[], object]:
    """Serves a copy, damages it, and ends the Triton that has loaded it; returns what mends the file."""
    copy = scene.copy_of_repository()
    scene.gateway.swap(copy)
    path = _largest_file(copy)
    good = path.read_bytes()
    _corrupt(copy)
    scene.wait_for(16)  # what is loaded already goes on
    send(scene.gateway.triton_pid, signal.SIGKILL, below=scene.supervisor)
    return lambda: path.write_bytes(good)


def _mended(scene: Scene) -> float:
    """Seconds from the moment that the file is right again."""
    mend = _corrupt_what_is_served(scene)
    time.sleep(_FAILING_SECONDS)
    assert not scene.gateway.status()["ready"], "a damaged repository is served"
    mend()
    return scene.whole()


def _rolled_back(scene: Scene) -> float:
    """Seconds from the operator's command, given once the gateway has reported why it can't start."""
    _corrupt_what_is_served(scene)
    reported = scene.until(lambda: MANIFEST.split(".")[0] in str(scene.gateway.status()["reason"]))
    scene.notes.append(f"its status names the damaged file {reported:.1f} s after the kill")
    began = time.monotonic()
    scene.gateway.rollback()
    scene.whole()
    return time.monotonic() - began
