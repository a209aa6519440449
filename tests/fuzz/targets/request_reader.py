"""The gateway's way of a request: read, validated, permitted and costed, or refused in a sentence.

What it accepts is read by protobuf's own parser in the same way, and is what Triton takes: each tensor has
the bytes of its shape.
"""

import functools
import json
import math
import random
import struct
from typing import Any

import grpc
import numpy as np
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.admission.picture_cost import cost_of
from deploy.gateway.front.found_faces import faces_in
from deploy.gateway.front.request import MAX_FIELDS, InferInput, InferRequest, read_request
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.front.validation import validate
from deploy.gateway.identity import Caller, permit
from deploy.gateway.observability.answer_sums import AnswerSums
from deploy.gateway.options import Limits
from deploy.gateway.refusals import Refusal
from deploy.gateway.work import Cost, Work
from tests.fuzz.messages import mutate_message
from tests.fuzz.target import Change, Target, hold
from tests.fuzz.targets.pictures import seeds as pictures
from tests.fuzz.work import peak_bytes
from tests.helpers.paths import ROOT

MAX_BYTES = 8 * 1024
MAX_MEMORY = 16 * 1024 * 1024
_LONGEST_SENTENCE = 4_000
_LIMITS = Limits(megapixels=1.0, scan_megapixels=6.0)
_COST = Cost(bytes=0)
_CODES = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND})
_ELEMENT_BYTES = {
    **{"BOOL": 1, "INT8": 1, "UINT8": 1, "INT16": 2, "UINT16": 2, "FP16": 2, "BF16": 2},
    **{"INT32": 4, "UINT32": 4, "FP32": 4, "INT64": 8, "UINT64": 8, "FP64": 8},
}
_TYPED = {
    "BOOL": ("bool_contents", "?"),
    "INT8": ("int_contents", "i1"),
    "INT16": ("int_contents", "<i2"),
    "INT32": ("int_contents", "<i4"),
    "INT64": ("int64_contents", "<i8"),
    "UINT8": ("uint_contents", "u1"),
    "UINT16": ("uint_contents", "<u2"),
    "UINT32": ("uint_contents", "<u4"),
    "UINT64": ("uint64_contents", "<u8"),
    "FP32": ("fp32_contents", "<f4"),
    "FP64": ("fp64_contents", "<f8"),
}


@functools.cache
def served() -> ServedModels:
    """What the repository's configurations declare, as a Triton would report it."""
    configs = {}
    for path in sorted((ROOT / "model_repository").glob("*/config.pbtxt")):
        config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
        config.name = config.name or path.parent.name
        configs[config.name] = v2.ModelConfigResponse(config=config)
    metadata = {name: v2.ModelMetadataResponse(name=name, versions=["1"]) for name in configs}
    server = v2.ServerMetadataResponse(name="triton", version="2.51.0")
    return ServedModels.of(generation=1, server=server, configs=configs, metadata=metadata)


@functools.cache
def caller() -> Caller:
    """One that may ask for the first of the served tasks only."""
    config = v2.ModelConfigResponse.FromString(served().configs["photo_analysis"]).config
    tasks = json.loads(config.parameters["contract"].string_value)["tasks"]
    return Caller(name="fuzzer", tasks=frozenset({tasks[0]["name"]}))


def run(data: bytes) -> None:
    """Takes any bytes the way of a request."""
    read: list[InferRequest] = []

    def prepare() -> None:
        try:
            read.append(read_request(data))
        except Refusal as refusal:
            _check_refusal(refusal, {grpc.StatusCode.INVALID_ARGUMENT})

    peak = peak_bytes(prepare)
    hold(peak <= MAX_MEMORY, f"reading {len(data)} bytes took {peak:,}")
    for request in read:
        _check_same(request, data)
        _check_way(request)
    _check_answer(data)


def is_taken(data: bytes) -> bool:
    """Whether the bytes are a request that a served model takes."""
    try:
        validate(read_request(data), served())
    except Refusal:
        return False
    return True


def _check_same(request: InferRequest, data: bytes) -> None:
    """That protobuf's own parser reads the same of the whole message."""
    try:
        message = v2.ModelInferRequest.FromString(data)
    except DecodeError:
        hold(False, "what was read is none to protobuf's own parser")
    hold(request.raw == data, "what is forwarded is not what came")
    hold(request.model == message.model_name, "another model")
    hold(request.version == message.model_version, "another version")
    hold(request.id == message.id, "another id")
    hold(request.outputs == tuple(output.name for output in message.outputs), "other outputs")
    for name, value in request.parameters.items():
        parameter = message.parameters[name]
        sent = getattr(parameter, parameter.WhichOneof("parameter_choice"))
        hold(_same(value, sent), f"another value of {name!r}")
    hold(request.parameters.keys() == message.parameters.keys(), "other parameters")
    for output in message.outputs:
        names = request.output_parameters.get(output.name, ())
        hold(not output.parameters or bool(names), "an output's parameters are lost")
    hold(len(request.inputs) == len(message.inputs), "other inputs")
    raws = message.raw_input_contents
    hold(not raws or len(raws) == len(message.inputs), "other raw tensors")
    for index, (tensor, sent) in enumerate(zip(request.inputs, message.inputs, strict=True)):
        _check_tensor(tensor, sent, raws[index] if raws else None)


def _check_tensor(tensor: InferInput, sent: Any, raw: bytes | None) -> None:
    hold(tensor.name == sent.name and tensor.datatype == sent.datatype, "another tensor")
    hold(tensor.shape == tuple(sent.shape), "another shape")
    hold(set(tensor.parameters) <= sent.parameters.keys(), "parameters that nobody sent")
    hold(bool(tensor.parameters) == bool(sent.parameters), "a tensor's parameters are lost")
    if raw is None and sent.HasField("contents"):
        raw = _packed(sent)
    hold((tensor.raw is None) == (raw is None), "data where there is none")
    hold(raw is None or bytes(tensor.raw or b"") == raw, f"other bytes of {sent.datatype}")


def _packed(sent: Any) -> bytes:
    if sent.datatype == "BYTES":
        return b"".join(struct.pack("<I", len(each)) + each for each in sent.contents.bytes_contents)
    field, dtype = _TYPED[sent.datatype]
    return np.array(list(getattr(sent.contents, field)), dtype=dtype).tobytes()


def _check_way(request: InferRequest) -> None:
    hold(request.digest() == request.digest(), "two digests of one request")
    try:
        validate(request, served())
    except Refusal as refusal:
        _check_refusal(refusal, _CODES)
        return
    signature = served().signatures[request.model]
    hold(signature.required <= {tensor.name for tensor in request.inputs}, "a needed input is missing")
    for tensor in request.inputs:
        hold(tensor.datatype == signature.inputs[tensor.name].datatype, "another datatype was accepted")
        elements, raw = math.prod(tensor.shape), bytes(tensor.raw or b"")
        if tensor.datatype == "BYTES":
            hold(_strings(raw) == elements, "the strings are not those of the shape")
        else:
            hold(
                len(raw) == elements * _ELEMENT_BYTES[tensor.datatype], "the bytes are not those of the shape"
            )
    try:
        permit(caller(), model=request.model, outputs=request.outputs, served=served())
    except Refusal as refusal:
        _check_refusal(refusal, {grpc.StatusCode.PERMISSION_DENIED})
    try:
        cost = cost_of(request, served(), _LIMITS)
    except Refusal as refusal:
        _check_refusal(refusal, {grpc.StatusCode.INVALID_ARGUMENT})
        hold(refusal.reason == "picture", f"refused for {refusal.reason} after validation")
        return
    hold(cost.rows >= 1 and cost.bytes == len(request.raw) and cost.pixels >= 0, f"no such cost: {cost}")
    hold(cost.scan_pixels > 0 or not cost.pixels, f"no such cost: {cost}")


def _check_refusal(refusal: Refusal, codes: "frozenset[grpc.StatusCode] | set[grpc.StatusCode]") -> None:
    hold(refusal.code in codes, f"{refusal.code} is refused with")
    hold(refusal.retry_after is None, "another try is recommended where it can't help")
    hold(refusal.sentence.isprintable(), f"what can't stand in one line: {refusal.sentence!r}")
    hold(len(refusal.sentence) <= _LONGEST_SENTENCE, f"{len(refusal.sentence)} characters of refusal")


def _check_answer(data: bytes) -> None:
    """An answer of Triton's, which is read for its number of faces, may be any bytes too."""
    work = Work(model="photo_analysis", cost=_COST)
    sums = AnswerSums(lambda block: None)
    hold(faces_in(data, work, served(), sums=sums) >= 0, "fewer than no faces")


def _strings(raw: bytes) -> int:
    """How many strings the bytes are; -1 for none."""
    at, count = 0, 0
    while at + 4 <= len(raw):
        at += 4 + struct.unpack_from("<I", raw, at)[0]
        count += 1
    return count if at == len(raw) else -1


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and (one == other or (one != one and other != other))


# -- what it begins with --------------------------------------------------------------------------------


def seeds() -> list[bytes]:
    """For every served model a request that it takes; typed contents, parameters, pieces and answers."""
    requests = [_request(model) for model in sorted(served().signatures)]
    photos = []
    for picture in pictures():
        photo = v2.ModelInferRequest(model_name="photo_analysis", raw_input_contents=[picture])
        photo.inputs.add(name="image", datatype="UINT8", shape=[len(picture)])
        photos.append(photo)
    typed = v2.ModelInferRequest(model_name="photo_analysis", id="a photo", model_version="1")
    tensor = typed.inputs.add(name="image", datatype="UINT8", shape=[4])
    tensor.contents.uint_contents.extend([255, 216, 255, 217])
    typed.outputs.add(name="boxes").parameters["binary_data"].bool_param = True
    typed.parameters["timeout"].int64_param = 1_000_000
    typed.parameters["priority"].uint64_param = 1
    every = v2.ModelInferRequest(model_name="none")
    for datatype, (field, _) in _TYPED.items():
        tensor = every.inputs.add(name=datatype, datatype=datatype, shape=[1])
        getattr(tensor.contents, field).append(1)
    every.inputs.add(name="BYTES", datatype="BYTES").contents.bytes_contents.append(b"word")
    answer = v2.ModelInferResponse(model_name="photo_analysis")
    answer.outputs.add(name="boxes", datatype="FP32", shape=[3, 4])
    messages = [*requests, *photos, typed, every, answer]
    return [message.SerializeToString() for message in messages] + [b"\x3a\x00" * (MAX_FIELDS + 1)]


def _request(model: str) -> Any:
    signature = served().signatures[model]
    request = v2.ModelInferRequest(model_name=model)
    for name, tensor in signature.inputs.items():
        shape = [4 if size < 0 else size for size in tensor.dims]
        if signature.max_batch_size:
            shape = [1, *shape]
        request.inputs.add(name=name, datatype=tensor.datatype, shape=shape)
        count = math.prod(shape)
        words = struct.pack("<I", 1) + b"a"
        raw = words * count if tensor.datatype == "BYTES" else bytes(count * _ELEMENT_BYTES[tensor.datatype])
        request.raw_input_contents.append(raw if len(raw) <= MAX_BYTES // 2 else raw[: MAX_BYTES // 2])
    for output in sorted(signature.outputs)[:2]:
        request.outputs.add(name=output)
    return request


def mutate(data: bytes, most: int, numbers: random.Random, change: Change) -> bytes:
    """Half of the time a message is changed field by field, else byte by byte."""
    if numbers.random() < 0.5:
        return change(data, most)
    return mutate_message(v2.ModelInferRequest, data, most, numbers, change)


TARGET = Target(
    name="request_reader",
    about="deploy/gateway/front/request.py, validation.py, permissions and picture_cost.py",
    run=run,
    seeds=seeds,
    mutate=mutate,
    minutes=11,
    max_bytes=MAX_BYTES,
)
