"""Faults of clients: they leave while an ensemble works for them."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from deploy.benchmark.faults.fault import Fault, Scene
from deploy.benchmark.load import leaving

_LEAVING = "leaving"


def faults(repository: Path) -> Iterator[Fault]:
    yield Fault(
        "clients leaving every ensemble by a deadline", partial(_leave, leaving.expire), only=_LEAVING
    )
    yield Fault(
        "clients leaving every ensemble by cancelling", partial(_leave, leaving.cancel), only=_LEAVING
    )
    yield Fault("clients leaving every ensemble by kill -9", _kill_clients, only=_LEAVING)


def _leave(leave: Callable[..., object], scene: Scene) -> None:
    for model in scene.samples.ensembles:
        leave(scene.gateway.grpc_address, scene.samples.messages(model), times=scene.times)


def _kill_clients(scene: Scene) -> None:
    for model in scene.samples.ensembles:
        leaving.kill_clients(
            scene.gateway.grpc_address, scene.samples.messages(model)[0], clients=scene.times
        )
