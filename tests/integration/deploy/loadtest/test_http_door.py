"""The V2 protocol's HTTP of a bare Triton: all types of tensors arrive there as they were, as over gRPC."""

import asyncio
import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from deploy.embedded import EmbeddedServer
from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import Reply, Target
from deploy.loadtest.work.building import build
from deploy.loadtest.work.options import WorkOptions
from deploy.loadtest.work.question import Question
from tests.helpers import tiny_repository

SECONDS = 60.0
BOTH = ("grpc", "http")
TYPES = ("UINT8", "INT8", "INT32", "INT64", "UINT16", "FP16", "FP32", "FP64", "BOOL", "STRING")
_ECHO = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(each.name().replace("in", "out"), each.as_numpy())
                    for each in request.inputs()
                ]
            )
            for request in requests
        ]
"""
_CONFIG = "\n".join(
    [
        'backend: "python"\nmax_batch_size: 4\ninstance_group { kind: KIND_CPU count: 1 }',
        *(f'input {{ name: "in_{each}" data_type: TYPE_{each} dims: [ -1, 2 ] }}' for each in TYPES),
        *(f'output {{ name: "out_{each}" data_type: TYPE_{each} dims: [ -1, 2 ] }}' for each in TYPES),
    ]
)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tiny_repository.write(tmp_path_factory.mktemp("echo") / "repository", echo=_ECHO)
    (folder / "models" / "echo" / "config.pbtxt").write_text(_CONFIG)
    tiny_repository.seal(folder)
    with EmbeddedServer(folder, http_port=0) as server:
        yield server


def target_of(triton: EmbeddedServer, protocol: str) -> Target:
    address = {"grpc": triton.grpc_address, "http": triton.http_address}[protocol]
    return Target(protocol=protocol, address=address)


@pytest.fixture(scope="module")
def question(triton: EmbeddedServer) -> Question:
    """Made for the model, of all types, with a text that has each byte."""
    options = WorkOptions(model="echo", shapes={"in_FP32": (5, 2)}, batch=3)
    (made,) = build(options, door=doors["http"], target=target_of(triton, "http"), timeout=SECONDS).questions
    texts = np.full((3, 1, 2), bytes(range(256)), np.object_)
    texts[0, 0] = b"", "ünlike".encode()
    return dataclasses.replace(made, inputs={**made.inputs, "in_STRING": texts})


def end(triton: EmbeddedServer, protocol: str, question: Question) -> Reply:
    """How one request ends."""

    async def asked() -> Reply:
        connection = doors[protocol].connect(target_of(triton, protocol))
        try:
            return await connection.ask(doors[protocol].message(question), deadline=SECONDS)
        finally:
            await connection.close()

    return asyncio.run(asked())


@pytest.mark.parametrize("protocol", BOTH)
def test_tensors_of_all_types_come_back_as_they_were(
    triton: EmbeddedServer, question: Question, protocol: str
) -> None:
    answer = doors[protocol].answer(target_of(triton, protocol), question, timeout=SECONDS).tensors
    assert answer.keys() == {f"out_{each}" for each in TYPES}
    for name, sent in question.inputs.items():
        came = answer[name.replace("in", "out")]
        assert came.dtype == sent.dtype
        np.testing.assert_array_equal(came, sent)


@pytest.mark.parametrize("protocol", BOTH)
def test_an_answer_has_the_outputs_that_were_named(
    triton: EmbeddedServer, question: Question, protocol: str
) -> None:
    some = dataclasses.replace(question, outputs=("out_FP32", "out_STRING"), faces=3)
    assert set(doors[protocol].answer(target_of(triton, protocol), some, timeout=SECONDS).tensors) == set(
        some.outputs
    )
    assert end(triton, protocol, some) == Reply(faces=3)
    assert end(triton, protocol, dataclasses.replace(some, faces=2)).code == "WRONG"


def test_both_describe_the_same_models(triton: EmbeddedServer) -> None:
    described = [doors[name].describe(target_of(triton, name), timeout=SECONDS) for name in BOTH]
    assert described[0] == described[1]
    assert described[0]["models"]["echo"]["max_batch_size"] == 4
    assert {"name": "in_STRING", "datatype": "BYTES", "shape": [-1, -1, 2], "optional": False} in described[
        0
    ]["models"]["echo"]["inputs"]


@pytest.mark.parametrize("protocol", BOTH)
def test_what_triton_refuses_has_its_sentence(
    triton: EmbeddedServer, question: Question, protocol: str
) -> None:
    lacking = dataclasses.replace(question, inputs={"in_FP32": question.inputs["in_FP32"]})
    with pytest.raises(ValueError, match="expected 10 inputs but got 1"):
        doors[protocol].answer(target_of(triton, protocol), lacking, timeout=SECONDS)
    refused = end(triton, protocol, lacking)
    assert refused.code == "INVALID_ARGUMENT"
    assert "expected 10 inputs" in refused.details


def test_parameters_and_odd_names_are_sent_over_http(triton: EmbeddedServer, question: Question) -> None:
    with_timeout = dataclasses.replace(question, parameters={"priority": 0, "note": "a text", "share": 0.5})
    assert end(triton, "http", with_timeout).code == "OK"
    odd = dataclasses.replace(question, model="../echo?x=1")
    assert end(triton, "http", odd).code in ("NOT_FOUND", "INVALID_ARGUMENT")
    assert end(triton, "http", question).code == "OK"  # and Triton is still there
