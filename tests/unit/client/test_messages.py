"""What the client sends is the message that protobuf would make."""

from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as v2
from tritonclient.utils import np_to_triton_dtype

from qface_client._connection import request
from qface_client._exchange.steps import Infer

PHOTO = np.arange(200_000, dtype=np.uint32).astype(np.uint8)


def of_tritonclient(inputs: dict[str, NDArray[Any]], outputs: tuple[str, ...]) -> v2.ModelInferRequest:
    """The same request, put together by tritonclient's objects."""
    message = v2.ModelInferRequest(model_name="a_model")
    for name, value in inputs.items():
        tensor = triton.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
        tensor.set_data_from_numpy(value)
        message.inputs.append(tensor._get_tensor())
        message.raw_input_contents.append(tensor._get_content())
    message.outputs.extend(triton.InferRequestedOutput(name)._get_tensor() for name in outputs)
    return message


@pytest.mark.parametrize(
    "inputs",
    [
        {"image": PHOTO[None], "box": np.full((1, 4), np.nan, np.float32)},
        {"crop": PHOTO[: 2 * 3 * 127].reshape(2, 127, 3)},  # a length of two bytes
        {"crop": PHOTO[:27].reshape(3, 3, 3).transpose(1, 0, 2)},  # not contiguous
        {"image": PHOTO[:127], "empty": PHOTO[:0]},
    ],
    ids=["a photo and a box", "crops", "a view", "short ones"],
)
def test_a_request_is_the_message_that_tritonclient_makes(inputs: dict[str, NDArray[Any]]) -> None:
    outputs = ("age_value", "contract")
    sent = request(Infer(model="a_model", inputs=inputs, outputs=outputs, timeout=1.0))
    assert v2.ModelInferRequest.FromString(sent) == of_tritonclient(inputs, outputs)


def test_parameters_keep_their_types() -> None:
    parameters = {"max_faces": 3, "min_score": 1.0}
    sent = request(Infer(model="m", inputs={}, outputs=(), timeout=1.0, parameters=parameters))
    found = v2.ModelInferRequest.FromString(sent).parameters
    assert {name: value.WhichOneof("parameter_choice") for name, value in found.items()} == {
        "max_faces": "int64_param",
        "min_score": "double_param",
    }
    assert (found["max_faces"].int64_param, found["min_score"].double_param) == (3, 1.0)
