"""A contract of two tasks whose answers are watched, answers by it, and blocks of them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.observability.answer_sums import AnswerBlock, Watched, watched_tensors
from runtime.contract import Contract, TaskEntry
from tests.helpers.fake_authority import model

CONTRACT = Contract(
    version=1,
    input_size=64,
    tasks=(
        TaskEntry(name="t", kind="classes", labels=("x", "y"), unit="probability"),
        TaskEntry(name="turn", kind="rotation", labels=("yaw", "pitch", "roll"), unit="degrees"),
        TaskEntry(name="spots", kind="points", labels=("left", "right"), unit="pixels"),
    ),
)
WATCHED: Watched = watched_tensors(CONTRACT.to_text())


def with_contract(reference: Mapping[str, Any] | None = None) -> "v2.ModelConfigResponse":
    """The configuration of a model that answers by the contract, with a reference beside it."""
    parameters = {"contract": {"string_value": CONTRACT.to_text()}}
    if reference is not None:
        parameters["answer_reference"] = {"string_value": json.dumps(reference)}
    return model("m", parameters=parameters)


def answer(**tensors: Any) -> bytes:
    """A serialised ModelInferResponse with these FP32 tensors."""
    response = v2.ModelInferResponse(model_name="m", model_version="1")
    for name, values in tensors.items():
        array = np.asarray(values, "<f4")
        response.outputs.add(name=name, datatype="FP32", shape=array.shape)
        response.raw_output_contents.append(array.tobytes())
    serialised: bytes = response.SerializeToString()
    return serialised


def block(*, faces: int, mean: float = 0.5) -> AnswerBlock:
    """Sums of `faces` equal answers of the task t: x is `mean`, y is minus that."""
    return AnswerBlock(
        tensors=(WATCHED["t_probabilities"],),
        faces=faces,
        not_finite=0,
        positive=(faces * mean, 0.0),
        negative=(0.0, faces * mean),
        squares=(faces * mean**2, faces * mean**2),
    )
