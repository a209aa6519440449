"""tritonclient's objects in and out of numpy, and its only exception as one of ours."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from .._steps import Infer
from ..contract import ModelInfo, parse_contract, parse_networks, parse_parameters
from ..errors import InvalidInput, QFaceError, ServerError, from_grpc
from .channel import proxy_hint

_PUSHBACK = "grpc-retry-pushback-ms"


def request(step: Infer) -> dict[str, Any]:
    """Arguments of tritonclient's `infer`."""
    inputs = []
    for name, value in step.inputs.items():
        tensor = triton.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
        inputs.append(tensor.set_data_from_numpy(value))
    return {
        "model_name": step.model,
        "inputs": inputs,
        "outputs": _requested(step.outputs),
        "client_timeout": step.timeout,
        "parameters": dict(step.parameters) or None,
    }


@functools.lru_cache(maxsize=64)
def _requested(names: tuple[str, ...]) -> Sequence[triton.InferRequestedOutput]:
    return tuple(triton.InferRequestedOutput(name) for name in names)


def answer(result: Any) -> dict[str, NDArray[Any]]:
    """An InferResult's tensors by name, read-only; ServerError if the bytes are not what they say."""
    response = result.get_response()
    raw = list(response.raw_output_contents)
    try:
        if len(raw) < len(response.outputs):  # typed contents
            return {output.name: result.as_numpy(output.name) for output in response.outputs}
        # InferResult looks for each output among all.
        return {
            output.name: _elements(data, output.datatype).reshape(tuple(output.shape))
            for output, data in zip(response.outputs, raw, strict=False)
        }
    except ValueError as error:
        raise ServerError(
            f"the answer's tensors can't be read ({error}): look at the server's log"
        ) from error


def _elements(data: bytes, datatype: str) -> NDArray[Any]:
    """The elements of a tensor, in a row."""
    if datatype != "BYTES":
        return np.frombuffer(data, dtype=triton_to_np_dtype(datatype))
    texts, begin = list[bytes](), 0
    while begin < len(data):
        start = begin + 4  # behind its length
        begin = start + int.from_bytes(data[begin:start], "little")
        texts.append(data[start:begin])
    if begin != len(data):
        raise ValueError("a text is longer than the tensor")
    return np.array(texts, dtype=np.object_)


def model_info(response: Any) -> ModelInfo:
    """What the client needs of a ModelConfigResponse."""
    config = response.config
    parameters = {name: value.string_value for name, value in config.parameters.items()}
    contract, networks = parameters.get("contract"), parameters.get("models")
    of_requests = parameters.get("request_parameters")
    return ModelInfo(
        name=config.name,
        max_batch_size=config.max_batch_size,
        contract=None if contract is None else parse_contract(contract),
        networks=parse_networks(networks) if networks else {},
        outputs=frozenset(output.name for output in config.output),
        parameters=parse_parameters(of_requests) if of_requests else (),
        notice=parameters.get("notice", ""),
        precision=parameters.get("precision", ""),
    )


def error_of(error: InferenceServerException, *, url: str, model: str) -> QFaceError:
    """tritonclient's only exception as one of ours."""
    return from_grpc(
        str(error.status() or ""),
        str(error.message() or ""),
        url=url,
        model=model,
        pushback=_pushback(error),
        hint=proxy_hint(url),
    )


def _pushback(error: InferenceServerException) -> float | None:
    """Seconds that the server wants before another try (infinite: no other try); None: it names none.

    tritonclient keeps no metadata, and raises "from None": what it had caught is still the context.
    """
    trailing = getattr(error.__context__, "trailing_metadata", None)
    for name, value in (trailing and trailing()) or ():
        if name == _PUSHBACK:
            # As gRPC reads it: what is negative or no number says not to try again.
            return int(value) / 1000 if str(value).isdecimal() else math.inf
    return None


def with_file(error: InvalidInput, file: str | None) -> InvalidInput:
    """The same error, with the file that it is about."""
    return error if file is None or error.file is not None else InvalidInput(str(error), file=file)
