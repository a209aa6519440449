"""A request that names no outputs is sent on with those that are made for everybody, without the others."""

from typing import Any

import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.signatures import Signature
from runtime.contract import Contract, TaskEntry
from tests.helpers.fake_authority import model, served_models
from tests.helpers.fronts import FP32, STRING, UINT8, RunningFront, with_front

_TASK = TaskEntry(name="area", kind="mask", labels=("none", "skin"), unit="class")
CONTRACT = Contract(version=1, input_size=8, tasks=(_TASK,)).to_text()


def masks(name: str, *outputs: str, contract: str = CONTRACT) -> Any:
    return model(
        name,
        max_batch_size=4,
        input=[{"name": "crop", "data_type": UINT8, "dims": [-1, -1, 3]}],
        output=[{"name": output, "data_type": STRING, "dims": [1]} for output in outputs],
        parameters={"contract": {"string_value": contract}},
    )


SERVED = served_models(
    masks("all", "area_png", "area_map", "area_runs", "contract"),
    masks("usual", "area_png", "contract"),
    masks("rare", "area_runs"),
    masks("unreadable", "area_png", "area_runs", contract='{"version": 99}'),
    model("plain", output=[{"name": "area_runs", "data_type": FP32, "dims": [1]}]),
)


def signature(name: str) -> Signature:
    return SERVED.signatures[name]


def request_to(name: str, *outputs: str) -> "v2.ModelInferRequest":
    request = v2.ModelInferRequest(model_name=name, outputs=[{"name": output} for output in outputs])
    request.inputs.add(name="crop", datatype="UINT8", shape=[1, 1, 1, 3])
    request.raw_input_contents.append(bytes(3))
    return request


def forwarded(request: "v2.ModelInferRequest") -> "v2.ModelInferRequest":
    """What Triton gets of it."""
    got: list[bytes] = []

    async def once(front: RunningFront) -> None:
        await front.service.ModelInfer(request)
        got.extend(front.triton.requests)

    with_front(once, models=SERVED)
    (only,) = got
    return v2.ModelInferRequest.FromString(only)


def test_what_is_made_on_request_is_left_out_where_no_output_is_named() -> None:
    request = request_to("all")
    sent = forwarded(request)
    assert [output.name for output in sent.outputs] == ["area_png", "area_map", "contract"]
    del sent.outputs[:]
    assert sent == request


def test_named_outputs_are_sent_on_as_they_are() -> None:
    request = request_to("all", "area_runs", "contract")
    assert forwarded(request) == request


@pytest.mark.parametrize("name", ["usual", "rare", "unreadable", "plain"])
def test_nothing_is_named_where_all_or_nothing_would_be_left(name: str) -> None:
    assert signature(name).usual_outputs == b""
