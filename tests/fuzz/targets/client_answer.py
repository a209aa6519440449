"""What a client reads of a server's answer: faces, or an error of its tree, whatever the bytes."""

import functools
import random
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as v2

from qface_client import FaceClient, QFaceError, UnknownKind
from qface_client._connection.messages import read_config, read_reply, request
from qface_client.kinds import KINDS
from qface_client.transports import Infer, ModelInfo, ReadModel, Reply
from tests.fuzz.messages import mutate_message
from tests.fuzz.target import Change, Target, hold
from tests.helpers.fake_v2_server import FakeServer, contract_of

MAX_BYTES = 8 * 1024
_PHOTO = np.zeros((80, 100, 3), np.uint8)
# The first byte: which of the two messages the others are.
_CONFIG, _ANSWER = b"c", b"a"


class _Context:
    """What a FakeServer wants of a call."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def abort(self, code: Any, words: str) -> None:
        raise UnknownKind(words)  # an output that only a changed configuration has


@functools.cache
def server() -> FakeServer:
    """It answers with two faces, of a task of each kind."""
    tasks = [
        {"name": f"task_{name}", "kind": name, "labels": ["first", "second", "third"], "unit": "probability"}
        for name in KINDS
    ]
    return FakeServer(contract_of(*tasks), faces=2)


@functools.cache
def config() -> bytes:
    asked = v2.ModelConfigRequest(name="photo_analysis")
    return bytes(server().ModelConfig(asked, _Context()).SerializeToString())  # type: ignore[arg-type]


def answer_to(step: Infer) -> bytes:
    asked = v2.ModelInferRequest.FromString(request(step))
    return bytes(server().ModelInfer(asked, _Context()).SerializeToString())  # type: ignore[arg-type]


class _Damaging:
    """A transport whose server answers as it should, but for one of the two messages."""

    def __init__(self) -> None:
        self.config: bytes | None = None
        self.answer: bytes | None = None

    def read_model(self, step: ReadModel) -> ModelInfo:
        return read_config(config() if self.config is None else self.config)

    def infer(self, step: Infer) -> Reply:
        return read_reply(answer_to(step) if self.answer is None else self.answer, ())

    def close(self) -> None:
        pass


def run(data: bytes) -> None:
    """Takes bytes as a configuration or an answer."""
    transport = _Damaging()
    with FaceClient(transport=transport, retries=False) as client:
        if data[:1] == _CONFIG:
            transport.config = data[1:]
        else:
            client.analyze(_PHOTO)  # by now it has the contract
            transport.answer = data[1:]
        try:
            for face in client.analyze(_PHOTO):
                face.to_dict()
                hold(len(repr(face)) > 0, "a face without a description")
        except QFaceError as error:
            hold("\n" not in str(error)[:40] and error.__class__.__name__ in repr(error), f"{error!r}")


def seeds() -> list[bytes]:
    """A configuration, and an answer with all outputs."""
    transport, answers = _Damaging(), list[bytes]()

    def infer(step: Infer) -> Reply:
        answers.append(answer_to(step))
        return read_reply(answers[-1], ())

    transport.infer = infer  # type: ignore[method-assign]
    with FaceClient(transport=transport) as client:
        client.analyze(_PHOTO)
    return [_CONFIG + config(), *(_ANSWER + answer for answer in answers)]


def mutate(data: bytes, most: int, numbers: random.Random, change: Change) -> bytes:
    """Changes fields of an answer or a text of a configuration, now and then the bytes of either."""
    if numbers.random() < 0.3:
        return data[:1] + change(data[1:], most - 1)
    if data[:1] == _ANSWER:
        return _ANSWER + mutate_message(v2.ModelInferResponse, data[1:], most - 1, numbers, change)
    try:
        message = v2.ModelConfigResponse.FromString(data[1:])
    except DecodeError:
        return data
    text = message.config.parameters[numbers.choice(("contract", "models", "request_parameters"))]
    text.string_value = change(text.string_value.encode(), most).decode("utf-8", "replace")
    return (_CONFIG + message.SerializeToString())[:most]


TARGET = Target(
    name="client_answer",
    about="client/qface_client: what a server's configuration and answer become",
    run=run,
    seeds=seeds,
    mutate=mutate,
    minutes=2,
    max_bytes=MAX_BYTES,
)
