"""The two calls that the client makes: tensors in and out of their messages, and gRPC's error as one of ours.

A request is put together by hand: its tensors are copied once, where protobuf's objects take three copies of
a photo.
"""

import functools
import math
from collections.abc import Iterable
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc as triton
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as v2
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from .._exchange.steps import Infer, ReadModel, Reply
from .._exchange.unreadable import unreadable_is_a_server_error
from ..contract import ModelInfo, parse_contract, parse_networks, parse_parameters
from ..errors import QFaceError, ServerError, from_grpc
from .channel import proxy_hint
from .timings import server_timings

_SERVICE = "/inference.GRPCInferenceService"
_PUSHBACK = "grpc-retry-pushback-ms"
_PRIORITY = "priority"
_RAW = v2.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number
_RAW_TAG = bytes([_RAW << 3 | 2])  # of a length-delimited field


class Calls:
    """Calls of a channel, grpc's or grpc.aio's: `config` takes a `config_request`, `infer` a `request`.

    Both return bytes, as gRPC logs and hides what is wrong with a message that it reads itself.
    """

    def __init__(self, channel: Any) -> None:
        self.config = channel.unary_unary(
            f"{_SERVICE}/ModelConfig", request_serializer=v2.ModelConfigRequest.SerializeToString
        )
        self.infer = channel.unary_unary(f"{_SERVICE}/ModelInfer")


def config_request(step: ReadModel) -> Any:
    """A ModelConfigRequest."""
    return v2.ModelConfigRequest(name=step.model)


def request(step: Infer) -> bytes:
    """A serialised ModelInferRequest."""
    return b"".join(request_parts(step))


def request_parts(step: Infer) -> list[bytes | memoryview]:
    """What `request` is when it is joined; no tensor is copied."""
    parts: list[bytes | memoryview] = [_head(step.model, step.outputs)]
    if step.parameters or step.priority is not None:
        parts.append(_parameters(step))
    parts += [_input(name, value.dtype, value.shape) for name, value in step.inputs.items()]
    for value in step.inputs.values():
        parts += (_RAW_TAG, _varint(value.nbytes), np.ascontiguousarray(value).data.cast("B"))
    return parts


def empty_request(step: Infer) -> bytes:
    """A ModelInferRequest that has the model's name alone."""
    return _head(step.model, ())


@functools.lru_cache(maxsize=64)
def _head(model: str, outputs: tuple[str, ...]) -> bytes:
    message = v2.ModelInferRequest(model_name=model, outputs=[{"name": name} for name in outputs])
    return _serialised(message)


@functools.lru_cache(maxsize=256)  # photos have any length, all else has few shapes
def _input(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    tensor = {"name": name, "datatype": np_to_triton_dtype(dtype), "shape": shape}
    return _serialised(v2.ModelInferRequest(inputs=[tensor]))


def _parameters(step: Infer) -> bytes:
    message = v2.ModelInferRequest()
    for name, value in step.parameters.items():
        if isinstance(value, int):
            message.parameters[name].int64_param = value
        else:
            message.parameters[name].double_param = value
    if step.priority is not None:
        message.parameters[_PRIORITY].uint64_param = step.priority
    return _serialised(message)


def _serialised(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _varint(number: int) -> bytes:
    """As protobuf writes a number of 0 or more."""
    groups = []
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def read_config(data: bytes) -> ModelInfo:
    """What the client needs of a serialised ModelConfigResponse; ServerError if it is none."""
    with unreadable_is_a_server_error():
        return model_info(_parsed(v2.ModelConfigResponse, data))


def read_reply(data: bytes, trailing: Iterable[tuple[str, str | bytes]] | None) -> Reply:
    """What a serialised ModelInferResponse and its trailing metadata say; ServerError if its tensors can't be
    read."""
    with unreadable_is_a_server_error():
        response = _parsed(v2.ModelInferResponse, data)
        tensors = answer(response)
        _check_finite(response)
        return Reply(
            tensors=tensors,
            model=response.model_name,
            version=response.model_version,
            timings=server_timings(trailing or ()),
        )


def _check_finite(response: Any) -> None:
    """ServerError where a number is NaN or infinite, as where an engine overflows."""
    raws = zip(response.outputs, response.raw_output_contents, strict=False)
    numbers = {output.name: raw for output, raw in raws if output.datatype == "FP32"}
    if not _are_finite(b"".join(numbers.values())):
        names = ", ".join(name for name, raw in numbers.items() if not _are_finite(raw))
        raise ServerError(
            f"the answer's {names} has values that are no finite numbers: the server's engine computes "
            "wrong, look at its log"
        )


def _are_finite(raw: bytes) -> bool:
    return bool(np.isfinite(np.frombuffer(raw, np.float32)).all())


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ServerError(
            f"the answer is no {kind.DESCRIPTOR.name} ({len(data):,} bytes): does another protocol's server "
            "answer there?"
        ) from error


def answer(response: Any) -> dict[str, NDArray[Any]]:
    """A ModelInferResponse's tensors by name, read-only; ServerError if the bytes are not what they say."""
    outputs, raw = response.outputs, list(response.raw_output_contents)
    try:
        if len(raw) < len(outputs):  # typed contents
            result = triton.InferResult(response)
            return {output.name: result.as_numpy(output.name) for output in outputs}
        return {
            output.name: _elements(data, output.datatype).reshape(tuple(output.shape))
            for output, data in zip(outputs, raw, strict=False)
        }
    except ValueError as error:
        raise ServerError(
            f"the answer's tensors can't be read ({error}): look at the server's log"
        ) from error


@functools.cache
def _dtype(datatype: str) -> Any:
    dtype = triton_to_np_dtype(datatype)
    if dtype is None or datatype == "BF16":  # for which numpy has no type: tritonclient names FP32's
        raise ValueError(f"its type {datatype!r} is unknown")
    return dtype


def _elements(data: bytes, datatype: str) -> NDArray[Any]:
    """The elements of a tensor, in a row."""
    if datatype != "BYTES":
        return np.frombuffer(data, dtype=_dtype(datatype))
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


def error_of(error: grpc.RpcError, *, url: str, model: str) -> QFaceError:
    """gRPC's only exception as one of ours."""
    return from_grpc(
        str(error.code()),
        str(error.details() or ""),
        url=url,
        model=model,
        pushback=_pushback(error),
        hint=proxy_hint(url),
    )


def _pushback(error: grpc.RpcError) -> float | None:
    """Seconds that the server wants before another try (infinite: no other try); None: it names none."""
    for name, value in error.trailing_metadata() or ():
        if name == _PUSHBACK:
            # As gRPC reads it: what is negative or no number says not to try again.
            return int(value) / 1000 if str(value).isdecimal() else math.inf
    return None
