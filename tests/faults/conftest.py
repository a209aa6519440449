"""A gateway over a tiny network with every default task, shared by the tests that attack it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.benchmark.load import Samples
from deploy.gateway.operation.service import GatewayServer
from tests.helpers.networks import standin_network as standin
from tests.helpers.repositories import FEW_PROCESSES
from training.tasks import CATALOGUE


@pytest.fixture(scope="session")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of a network that costs nothing, with an ensemble for every task served by default."""
    folder = tmp_path_factory.mktemp("standin")
    crops = [name for name, task in CATALOGUE.items() if not task.sensitive]
    weights = standin.write(folder / "standin.onnx", standin.contract_of(*crops))
    return assemble(ServingPlan(weights=weights, host_settings=FEW_PROCESSES), output=folder / "var")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of one task: as few model processes as there can be."""
    folder = tmp_path_factory.mktemp("small")
    task = next(name for name, task in CATALOGUE.items() if task.kind == "classes" and not task.sensitive)
    weights = standin.write(folder / "standin.onnx", standin.contract_of(task))
    return assemble(ServingPlan(weights=weights, host_settings=FEW_PROCESSES), output=folder / "var")


@pytest.fixture(scope="session")
def gateway(assembled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    log = tmp_path_factory.mktemp("gateway") / "gateway.log"
    with log.open("w") as sink, GatewayServer(assembled, log=sink, rest_port=0) as running:
        yield running


@pytest.fixture(scope="session")
def samples(gateway: GatewayServer) -> Samples:
    return Samples(gateway.grpc_address, gateway.models)


@pytest.fixture(scope="session")
def small_gateway(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """One with few models, for tests that kill each, and for those that need few; each leaves it whole."""
    log = tmp_path_factory.mktemp("small_gateway") / "gateway.log"
    with log.open("w") as sink, GatewayServer(small, log=sink) as running:
        yield running
