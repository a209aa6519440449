"""Faults of what is served: another repository takes over, fails to, or is taken back."""

import time
from collections.abc import Iterator

from deploy.benchmark.faults.fault import Fault, Scene


def faults() -> Iterator[Fault]:
    yield Fault("swap", _swap)
    yield Fault("rollback", _rollback)


def _swap(scene: Scene) -> float:
    """To a copy of the same files."""
    copy = scene.copy_of_repository()
    before = scene.gateway.triton_pid
    began = time.monotonic()
    scene.gateway.swap(copy)
    return time.monotonic() - began + scene.whole(before)


def _rollback(scene: Scene) -> float:
    if scene.gateway.status()["previous"] is None:
        _swap(scene)
    before = scene.gateway.triton_pid
    began = time.monotonic()
    scene.gateway.rollback()
    return time.monotonic() - began + scene.whole(before)
