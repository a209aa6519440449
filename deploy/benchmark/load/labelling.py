"""Clients that name labels by the contract that an answer carries, and compare them with the truth.

A label under another's number is counted as a wrong answer: so it shows when two contracts are mixed up.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.load.clients import MakeSender, Reply, Sender, reply_of
from deploy.benchmark.load.mix import CROPS
from deploy.benchmark.load.sample_requests import CHANNEL, TIMEOUT
from qface_client import ConnectError, FaceClient, QFaceError
from runtime.contract import Contract

TOLERANCE = 1e-3  # relative above 1; an exchanged label must differ by more
_TEXT_HEAD = 4  # bytes before the text of a BYTES tensor's element

# By the hash of each contract what each of its labels is worth on the crop.
Truth = Mapping[str, Mapping[str, float]]


def exchanged(contract: Contract, task: str, one: str, other: str) -> Contract:
    """The contract in which two labels of a task have changed places."""
    places = {one: other, other: one}
    return dataclasses.replace(
        contract,
        tasks=tuple(
            dataclasses.replace(entry, labels=tuple(places.get(label, label) for label in entry.labels))
            if entry.name == task
            else entry
            for entry in contract.tasks
        ),
    )


def same(numbers: Mapping[str, float], true: Mapping[str, float]) -> bool:
    """Whether each label has its number, up to the tolerance."""
    return numbers.keys() == true.keys() and all(
        abs(numbers[label] - value) < TOLERANCE * max(1.0, abs(value)) for label, value in true.items()
    )


class Naming:
    """One crop, and one task of a server about it.

    address     "HOST:PORT"
    task        one whose answer has a probability for each label
    crop        [H, W, 3] uint8
    """

    def __init__(self, address: str, *, task: str, crop: NDArray[np.uint8]) -> None:
        self.address = address
        self.task = task
        self.crop = crop
        self.request = v2.ModelInferRequest(
            model_name=CROPS,
            inputs=[
                v2.ModelInferRequest.InferInputTensor(name="crop", datatype="UINT8", shape=[1, *crop.shape])
            ],
            raw_input_contents=[crop.tobytes()],
        )

    def contract(self) -> Contract:
        """What the server promises now."""
        with grpc.insecure_channel(self.address, options=CHANNEL) as channel:
            return self.read_contract(v2_grpc.GRPCInferenceServiceStub(channel))

    def read_contract(self, stub: Any) -> Contract:
        config = stub.ModelConfig(v2.ModelConfigRequest(name=CROPS), timeout=TIMEOUT).config
        return Contract.parse(json.loads(config.parameters["contract"].string_value))

    def labels(self, contract: Contract) -> tuple[str, ...]:
        return next(entry.labels for entry in contract.tasks if entry.name == self.task)

    def numbers(self) -> list[float]:
        """One answer's bare numbers."""
        with grpc.insecure_channel(self.address, options=CHANNEL) as channel:
            answer = v2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(self.request, timeout=TIMEOUT)
        return self.numbers_in(_tensors(answer))

    def numbers_in(self, tensors: Mapping[str, bytes]) -> list[float]:
        return list(map(float, np.frombuffer(tensors[f"{self.task}_probabilities"], np.float32)))

    def truth(self, *contracts: Contract) -> Truth:
        """By each contract, from one answer's bare numbers; ValueError where an exchange would not show."""
        numbers = self.numbers()
        truth = {
            contract.hash: dict(zip(self.labels(contract), numbers, strict=True)) for contract in contracts
        }
        values = list(truth.values())
        if len(truth) < len(contracts) or any(same(one, values[0]) for one in values[1:]):
            raise ValueError(f"labels of {self.task} that are mixed up would not show on this crop")
        return truth


def labelling_clients(naming: Naming, truth: Truth, *, clients: int, deadline: float) -> list[MakeSender]:
    """Plain stubs and FaceClient in turn; `deadline` is what a FaceClient's call has, in seconds."""

    def plain() -> Sender:
        return _PlainClient(naming, truth)

    def ours() -> Sender:
        return _OurClient(naming, truth, deadline=deadline)

    return [(plain, ours)[number % 2] for number in range(clients)]


def _tensors(answer: v2.ModelInferResponse) -> Mapping[str, bytes]:
    return dict(zip([output.name for output in answer.outputs], answer.raw_output_contents, strict=True))


class _PlainClient:
    """Reads the contract, asks, and names labels by the contract whose hash the answer carries."""

    model = CROPS

    def __init__(self, naming: Naming, truth: Truth) -> None:
        self._channel = grpc.insecure_channel(naming.address, options=CHANNEL)
        self._stub = v2_grpc.GRPCInferenceServiceStub(self._channel)
        self._naming, self._truth = naming, truth
        self._labels: dict[str, Sequence[str]] = {}

    def close(self) -> None:
        self._channel.close()

    def send(self, deadline: float) -> Reply:
        try:
            tensors = _tensors(self._stub.ModelInfer(self._naming.request, timeout=deadline))
            found = tensors["contract"][_TEXT_HEAD:].decode()
            if found not in self._labels:
                contract = self._naming.read_contract(self._stub)
                self._labels[contract.hash] = self._naming.labels(contract)
            if found not in self._labels:  # the next repository has taken over since: nothing is named
                return Reply()
        except grpc.RpcError as error:
            return reply_of(error)
        named = dict(zip(self._labels[found], self._naming.numbers_in(tensors), strict=True))
        return Reply(right=same(named, self._truth[found]))


class _OurClient:
    """FaceClient, whose named answer is compared with what its contract's labels are worth."""

    model = "FaceClient"

    def __init__(self, naming: Naming, truth: Truth, *, deadline: float) -> None:
        self._client = FaceClient(naming.address, timeout=deadline)
        self._naming, self._truth = naming, truth

    def close(self) -> None:
        self._client.close()

    def send(self, deadline: float) -> Reply:
        try:
            face = self._client.analyze_crop(self._naming.crop)
        except QFaceError as error:
            code = "UNAVAILABLE" if isinstance(error, ConnectError) else "INTERNAL"
            return Reply(code=code, details=str(error))
        answer: Any = face.answers[self._naming.task]
        named = {label: float(number) for label, number in answer.probabilities.items()}
        assert face.contract is not None
        return Reply(right=same(named, self._truth[face.contract.hash]))
