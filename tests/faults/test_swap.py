"""Another repository takes over, fails to, or is taken back: nothing is lost, no label is mixed up."""

import dataclasses
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.benchmark.faults.whole import is_whole
from deploy.benchmark.load import Load
from deploy.benchmark.load.clients import Reply
from deploy.benchmark.load.labelling import Naming, labelling_clients, same
from deploy.benchmark.load.rest import RestClient
from deploy.gateway.operation.service import GatewayServer
from runtime.contract import Contract
from tests.helpers import tiny_repository
from tests.helpers.bystanders import CROP, DEADLINE, eventually, unhappy
from tests.helpers.gateways import PATIENT
from tests.helpers.networks import standin_network as standin
from tests.helpers.paths import ASTRONAUT
from tests.helpers.repositories import FEW_PROCESSES
from training.tasks import CATALOGUE, Task

CLIENTS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two repositories of one network; in the second the task's first two labels have changed places."""

    task: Task
    first: Path
    second: Path

    @property
    def exchanged(self) -> Task:
        one, two, *others = self.task.labels
        return dataclasses.replace(self.task, labels=(two, one, *others))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    task = next(task for task in CATALOGUE.values() if task.kind == "classes" and not task.sensitive)
    made = Pair(task=task, first=folder / "first", second=folder / "second")
    for path, labelled in ((made.first, task), (made.second, made.exchanged)):
        weights = standin.write(folder / f"{path.name}.onnx", standin.contract_with(labelled))
        assemble(ServingPlan(weights=weights, host_settings=FEW_PROCESSES), output=path)
    return dataclasses.replace(made, first=made.first / "repository", second=made.second / "repository")


@pytest.fixture(scope="module")
def gateway(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    log = tmp_path_factory.mktemp("swapping") / "gateway.log"
    with (
        log.open("w") as sink,
        GatewayServer(pair.first, log=sink, rest_port=0, arguments=PATIENT) as running,
    ):
        yield running


class RestWitness:
    """Asks over REST, whose answers name their labels and no contract: compared with what is served then."""

    model = "REST"

    def __init__(self, gateway: GatewayServer, task: Task) -> None:
        self._client = RestClient(gateway.rest_address)
        self._task = task.name
        self._photo = ASTRONAUT.read_bytes()
        self._names = set(task.labels)
        self._numbers: Sequence[float] | None = None
        self.labels: tuple[str, ...] | None = task.labels  # as they are served; None while that changes
        self.compared = 0

    def send(self, deadline: float) -> Reply:
        before = self.labels
        reply, answer = self._client.analyze(self._photo, query={}, deadline=deadline)
        if reply.code != "OK":
            return reply
        found: Any = answer
        named = found["faces"][0][self._task]["probabilities"]
        if before is None or before is not self.labels:
            return Reply(right=named.keys() == self._names)
        if self._numbers is None:
            self._numbers = [named[label] for label in before]
        self.compared += 1
        return Reply(right=same(named, dict(zip(before, self._numbers, strict=True))))

    def close(self) -> None:
        self._client.close()

    def wait_for_one(self) -> None:
        compared = self.compared
        assert eventually(lambda: self.compared > compared)


def labelling_load(gateway: GatewayServer, pair: Pair, *further: Any) -> Load:
    naming = Naming(gateway.grpc_address, task=pair.task.name, crop=CROP)
    truth = naming.truth(*map(contract_of_network, (pair.task, pair.exchanged)))
    clients = labelling_clients(naming, truth, clients=CLIENTS, deadline=DEADLINE)
    # Every client is under way at each change. More of them would slow down what is starting beside them.
    return Load([*clients, *further], deadline=DEADLINE, pause=0.2)


def contract_of_network(task: Task) -> Contract:
    return Contract.parse(standin.contract_with(task))


def contract_of(gateway: GatewayServer) -> str:
    return Naming(gateway.grpc_address, task="", crop=CROP).contract().hash


def test_two_labels_that_change_places_are_never_mixed_up(gateway: GatewayServer, pair: Pair) -> None:
    """Swapped, rolled back and swapped again under eight clients and one of REST."""
    main, before = gateway.pid, contract_of(gateway)
    rest = RestWitness(gateway, pair.task)
    with labelling_load(gateway, pair, lambda: rest) as load:
        load.wait_for(50)
        rest.wait_for_one()
        for task in (pair.exchanged, pair.task, pair.exchanged):
            rest.labels = None
            if task is pair.task:
                gateway.rollback()
            else:
                gateway.swap(pair.second)
            rest.labels = task.labels
            load.wait_for(50)
            rest.wait_for_one()
            assert (contract_of(gateway) == before) == (task is pair.task)
    assert not unhappy(load), load.summary
    assert {outcome.code for outcome in load.outcomes} == {"OK"}, load.summary
    assert gateway.pid == main
    print(load.summary)


def damaged(pair: Pair, folder: Path) -> Path:
    shutil.copytree(pair.second, folder)
    model = folder / "models" / "face_engine" / "1" / "model.py"
    model.write_text(model.read_text() + "# changed\n")
    return folder


def without_an_answer(pair: Pair, folder: Path) -> Path:
    return tiny_repository.write(folder, crop_analysis=tiny_repository.REFUSING)


def not_loading(pair: Pair, folder: Path) -> Path:
    return tiny_repository.write(folder, crop_analysis=tiny_repository.NOT_LOADING)


def not_there(pair: Pair, folder: Path) -> Path:
    return folder


@pytest.mark.parametrize(
    "broken",
    [
        damaged,
        not_loading,
        *(pytest.param(one, marks=pytest.mark.heavy) for one in (without_an_answer, not_there)),
    ],
)
def test_a_repository_that_can_not_take_over_changes_nothing(
    gateway: GatewayServer, pair: Pair, tmp_path: Path, broken: Any
) -> None:
    main, triton, before = gateway.pid, gateway.triton_pid, contract_of(gateway)
    repository = broken(pair, tmp_path / "repository")
    with labelling_load(gateway, pair) as load:
        load.wait_for(20)
        with pytest.raises(Exception) as caught:  # noqa: PT011
            gateway.swap(repository)
        load.wait_for(20)
    assert len(str(caught.value).splitlines()) == 1
    assert not unhappy(load), load.summary
    assert {outcome.code for outcome in load.outcomes} == {"OK"}, load.summary
    assert (gateway.pid, gateway.triton_pid, contract_of(gateway)) == (main, triton, before)


def test_what_was_swapped_in_is_what_comes_back_after_a_fault(gateway: GatewayServer, pair: Pair) -> None:
    """A killed gateway's successor serves what was served last, not what it was started with."""
    started_with = contract_of_network(pair.task).hash
    if contract_of(gateway) == started_with:  # no test before swapped
        gateway.swap(pair.second)
    swapped, main = contract_of(gateway), gateway.pid
    assert swapped != started_with
    os.kill(main, signal.SIGKILL)
    assert eventually(lambda: is_whole(gateway, (), without=[main]))
    assert contract_of(gateway) == swapped
