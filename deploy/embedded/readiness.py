"""The first requests to a server: is each model ready, and does a real inference come back?

A ready model may still not answer (a dead stub, an engine that fails on its first batch), so the
models that a client would call get a request. Their names are fixed by the served interface; their
inputs are read from the server.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from deploy.embedded.errors import CanaryFailed

MODELS = ("photo_analysis", "crop_analysis")
_SIDE = 64  # pixels of a canary picture
_CHANNEL = [  # naming options drops tritonclient's own
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]


def canary_models(models: Iterable[str]) -> list[str]:
    """Those of a repository's models that get a canary request: of every network, by whatever name."""
    endings = tuple(f"_{name}" for name in MODELS)
    return sorted(name for name in models if name in MODELS or name.endswith(endings))


def connect(address: str) -> Any:
    """A client of a server on this machine: it passes by the environment's proxy."""
    return triton.InferenceServerClient(address, channel_args=_CHANNEL)


def is_ready(client: Any, name: str) -> bool:
    """Whether this model itself is ready; False while the server can't be reached."""
    try:
        return bool(client.is_model_ready(name, client_timeout=2.0))
    except InferenceServerException:
        return False


def send_canary(client: Any, name: str, *, timeout: float) -> None:
    """Sends `name` a grey picture and requests every output; CanaryFailed names what came instead.

    A photo without a face is an ordinary request: its answers are empty. Those of a crop are not.
    """
    try:
        metadata = client.get_model_metadata(name, client_timeout=timeout)
        batched = client.get_model_config(name, client_timeout=timeout).config.max_batch_size > 0
        declared = {each.name: (each.datatype, list(each.shape)) for each in metadata.inputs}
        values = canary_inputs(declared, batched=batched)
        if values is None:
            raise CanaryFailed(
                f"{name} takes {declared}, neither a picture file nor pixels: assemble it again"
            )
        inputs = []
        for each in metadata.inputs:
            tensor = triton.InferInput(each.name, values[each.name].shape, each.datatype)
            tensor.set_data_from_numpy(values[each.name])
            inputs.append(tensor)
        answer = client.infer(name, inputs, client_timeout=timeout)
    except InferenceServerException as error:
        raise CanaryFailed(f"{name} loaded but does not answer: {error.message()}") from error
    if flaw := flaw_of(answer.get_response(), batched=batched):
        raise CanaryFailed(f"{name} {flaw}")


def flaw_of(answer: Any, *, batched: bool) -> str:
    """What is wrong with the answer (a ModelInferResponse) to a canary; "" where it is as it should be."""
    # numpy 2 in the server's environment shows here at the latest: tensors without elements.
    for output in answer.outputs:
        if batched and 0 in output.shape:
            return f"answers with an empty {output.name}: has its environment numpy<2?"
    return "" if answer.outputs else "answers without any output"


def canary_inputs(
    declared: Mapping[str, tuple[str, Sequence[int]]], *, batched: bool
) -> dict[str, NDArray[Any]] | None:
    """A grey picture, and NaN ("none is known") for every float beside it; None for other inputs.

    declared    by input: Triton's datatype and shape, -1 where it is free, with the batch where there is one
    """
    values: dict[str, NDArray[Any]] = {}
    pictures = 0
    for name, (datatype, shape) in declared.items():
        dims = list(shape)[1 if batched else 0 :]
        value: NDArray[Any]
        if datatype == "UINT8" and (picture := _picture(dims)) is not None:
            value, pictures = picture, pictures + 1
        elif datatype == "FP32" and min(dims, default=-1) > 0:
            value = np.full(dims, np.nan, dtype=np.float32)
        else:
            return None
        values[name] = value[np.newaxis] if batched else value
    return values if pictures == 1 else None


def _picture(dims: list[int]) -> NDArray[np.uint8] | None:
    """A grey picture for an input of these dims: [-1] takes an encoded file, [height, width, 3] pixels."""
    if dims == [-1]:
        header = f"P6\n{_SIDE} {_SIDE}\n255\n".encode()
        return np.frombuffer(header + bytes([128]) * (_SIDE * _SIDE * 3), dtype=np.uint8)
    if len(dims) == 3 and dims[2] == 3:
        return np.full([_SIDE if size < 0 else size for size in dims], 128, dtype=np.uint8)
    return None
