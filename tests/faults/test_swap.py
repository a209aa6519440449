"""Another repository takes over, fails to, or is taken back: nothing is lost, no label is mixed up."""

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as v2

from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.benchmark.faults.whole import is_whole
from deploy.benchmark.load import Load, Sender
from deploy.benchmark.load.clients import Reply, reply_of
from deploy.gateway.operation.service import GatewayServer
from qface_client import FaceClient
from qface_client.errors import QFaceError
from tests.helpers import tiny_repository
from tests.helpers.bystanders import CROP, DEADLINE, eventually, stub_of, unhappy
from tests.helpers.networks import standin_network as standin
from training.tasks import CATALOGUE, Task

MODEL = "crop_analysis"
SWAPS = 2


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
        assemble(ServingPlan(weights=weights), output=path)
    return dataclasses.replace(made, first=made.first / "repository", second=made.second / "repository")


@pytest.fixture(scope="module")
def gateway(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    log = tmp_path_factory.mktemp("swapping") / "gateway.log"
    with log.open("w") as sink, GatewayServer(pair.first, log=sink) as running:
        yield running


Truth = dict[str, dict[str, float]]


def truth_of(pair: Pair, gateway: GatewayServer) -> Truth:
    """By the hash of each contract what each label's number is, computed from one answer's bare numbers."""
    with stub_of(gateway.grpc_address) as stub:
        answer = stub.ModelInfer(crop_request(), timeout=DEADLINE)
        raw = dict(zip([output.name for output in answer.outputs], answer.raw_output_contents, strict=True))
    numbers = np.frombuffer(raw[f"{pair.task.name}_probabilities"], np.float32)
    return {
        standin.contract_with(task)["hash"]: dict(zip(task.labels, map(float, numbers), strict=True))
        for task in (pair.task, pair.exchanged)
    }


def crop_request() -> v2.ModelInferRequest:
    return v2.ModelInferRequest(
        model_name=MODEL,
        inputs=[v2.ModelInferRequest.InferInputTensor(name="crop", datatype="UINT8", shape=[1, *CROP.shape])],
        raw_input_contents=[CROP.tobytes()],
    )


def same(numbers: dict[str, float], true: dict[str, float]) -> bool:
    return numbers.keys() == true.keys() and all(
        abs(numbers[label] - value) < 1e-4 * max(1.0, abs(value)) for label, value in true.items()
    )


class PlainClient:
    """Reads the contract, asks, and names labels by the contract whose hash the answer carries."""

    model = MODEL

    def __init__(self, address: str, task: Task, truth: Truth) -> None:
        self._connection = stub_of(address)
        self._stub = self._connection.__enter__()
        self._task, self._truth = task, truth
        self._labels: dict[str, list[str]] = {}

    def close(self) -> None:
        self._connection.__exit__(None, None, None)

    def send(self, deadline: float) -> Reply:
        try:
            answer = self._stub.ModelInfer(crop_request(), timeout=deadline)
            tensors = dict(
                zip([output.name for output in answer.outputs], answer.raw_output_contents, strict=True)
            )
            found = tensors["contract"][4:].decode()
            if found not in self._labels:
                self._read()
            if found not in self._labels:  # the next repository has taken over since: nothing is named
                return Reply()
        except grpc.RpcError as error:
            return reply_of(error)
        numbers = np.frombuffer(tensors[f"{self._task.name}_probabilities"], np.float32)
        named = dict(zip(self._labels[found], map(float, numbers), strict=True))
        return Reply(right=same(named, self._truth[found]))

    def _read(self) -> None:
        config = self._stub.ModelConfig(v2.ModelConfigRequest(name=MODEL), timeout=DEADLINE).config
        contract: dict[str, Any] = json.loads(config.parameters["contract"].string_value)
        (task,) = contract["tasks"]
        self._labels[contract["hash"]] = task["labels"]


class OurClient:
    """FaceClient, whose named answer is compared with what its contract's labels are worth."""

    model = "FaceClient"

    def __init__(self, address: str, task: Task, truth: Truth) -> None:
        self._client = FaceClient(address, timeout=DEADLINE)
        self._task, self._truth = task, truth

    def close(self) -> None:
        self._client.close()

    def send(self, deadline: float) -> Reply:
        try:
            face = self._client.analyze_crop(CROP)
        except QFaceError as error:
            return Reply(code="UNAVAILABLE", details=str(error))
        answer: Any = face.answers[self._task.name]
        named = {label: float(number) for label, number in answer.probabilities.items()}
        return Reply(right=same(named, self._truth[face.contract.hash]))


def labelling_load(gateway: GatewayServer, pair: Pair) -> Load:
    truth = truth_of(pair, gateway)
    assert len(truth) == 2
    one, two = truth.values()
    assert not same(one, two), "labels that are mixed up would not show"

    def client(kind: type[PlainClient] | type[OurClient]) -> Sender:
        return kind(gateway.grpc_address, pair.task, truth)

    return Load(
        [lambda: client(PlainClient)] * 4 + [lambda: client(OurClient)] * 4, deadline=DEADLINE, pause=0.05
    )


def contract_of(gateway: GatewayServer) -> str:
    with stub_of(gateway.grpc_address) as stub:
        config = stub.ModelConfig(v2.ModelConfigRequest(name=MODEL), timeout=DEADLINE).config
    return str(json.loads(config.parameters["contract"].string_value)["hash"])


def test_two_labels_that_change_places_are_never_mixed_up(gateway: GatewayServer, pair: Pair) -> None:
    """Swapped there and back under eight clients, at last by a rollback."""
    main, before = gateway.pid, contract_of(gateway)
    with labelling_load(gateway, pair) as load:
        load.wait_for(50)
        for turn in range(SWAPS):
            gateway.swap(pair.second if turn % 2 == 0 else pair.first)
            load.wait_for(50)
            assert (contract_of(gateway) == before) == (turn % 2 == 1)
        gateway.rollback()
        load.wait_for(50)
    assert contract_of(gateway) != before
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


@pytest.mark.parametrize("broken", [damaged, without_an_answer, not_loading, not_there])
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
    gateway.swap(pair.second)
    swapped, main = contract_of(gateway), gateway.pid
    os.kill(main, signal.SIGKILL)
    assert eventually(lambda: is_whole(gateway, (), without=[main]))
    assert contract_of(gateway) == swapped
    gateway.swap(pair.first)
