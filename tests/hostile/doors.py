"""The ways into a server, and what each makes of a file: an answer to be checked, or a sentence."""

import contextlib
import http.client
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.load.sample_requests import CHANNEL
from tests.hostile.pictures.files import FACE, Answered, HostileFile, face_flaw, refusal_flaw

SECONDS = 120.0
_FLOATS = {"FP32": np.float32, "INT32": np.int32}

# The flaw of what became of a file, "" for none, and whether it was answered.
Judge = Callable[[HostileFile], tuple[str, bool]]


def _tensors(answer: v2.ModelInferResponse) -> dict[str, NDArray[Any]]:
    return {
        tensor.name: np.frombuffer(raw, _FLOATS[tensor.datatype]).reshape(tuple(tensor.shape))
        for tensor, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
        if tensor.datatype in _FLOATS
    }


def _refused(error: grpc.RpcError, file: HostileFile) -> str:
    if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
        return f"it ended with {error.code().name}: {error.details()}"
    return refusal_flaw(error.details(), file.expect)


def _wrongly_answered(file: HostileFile) -> str:
    return "" if isinstance(file.expect, Answered) else "it was answered, and is to be refused"


def photo_door(channel: grpc.Channel, model: str) -> Judge:
    """A model that looks for faces in a photo."""
    stub = v2_grpc.GRPCInferenceServiceStub(channel)

    def judge(file: HostileFile) -> tuple[str, bool]:
        request = v2.ModelInferRequest(model_name=model, raw_input_contents=[file.data])
        request.inputs.add(name="image", datatype="UINT8", shape=[len(file.data)])
        try:
            tensors = _tensors(stub.ModelInfer(request, timeout=SECONDS))
        except grpc.RpcError as error:
            return _refused(error, file), False
        return _photo_flaw(tuple(tensors["photo_size"].tolist()), tensors["boxes"], file), True

    return judge


def face_door(channel: grpc.Channel, model: str) -> Judge:
    """A model that looks at one face: the portrait's by its box, of others the whole picture."""
    stub = v2_grpc.GRPCInferenceServiceStub(channel)

    def judge(file: HostileFile) -> tuple[str, bool]:
        box = [math.nan] * 4
        if isinstance(file.expect, Answered) and file.expect.shows == "portrait":
            box = list(FACE)
        request = v2.ModelInferRequest(model_name=model)
        request.inputs.add(name="image", datatype="UINT8", shape=[1, len(file.data)])
        request.inputs.add(name="box", datatype="FP32", shape=[1, 4])
        request.inputs.add(name="landmarks", datatype="FP32", shape=[1, 5, 2])
        request.raw_input_contents.append(file.data)
        request.raw_input_contents.append(np.array(box, np.float32).tobytes())
        request.raw_input_contents.append(np.full(10, np.nan, np.float32).tobytes())
        try:
            answer = stub.ModelInfer(request, timeout=SECONDS)
        except grpc.RpcError as error:
            return _refused(error, file), False
        broken = [name for name, values in _tensors(answer).items() if not np.isfinite(values).all()]
        flaw = f"{broken[0]} is not finite" if broken else ""
        return _wrongly_answered(file) or flaw, True

    return judge


def rest_door(address: str) -> Judge:
    """POST /v1/analyze, each on a connection of its own."""

    def judge(file: HostileFile) -> tuple[str, bool]:
        connection = http.client.HTTPConnection(address, timeout=SECONDS)
        with contextlib.closing(connection):
            return judge_on(connection, file)

    def judge_on(connection: http.client.HTTPConnection, file: HostileFile) -> tuple[str, bool]:
        # A file that is refused by its length is not taken whole, and the answer is there to be read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", "/v1/analyze", body=file.data)
        try:
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"it got no answer: {error!r}", False
        if answer.status != 200:
            kind = answer.headers["Content-Type"]
            if answer.status not in (400, 413, 422) or kind != "application/problem+json":
                return f"it ended with {answer.status} {kind}: {content}", False
            flaw = refusal_flaw(content["detail"], file.expect)
            # A body of no byte or too many is refused before anybody looks for a picture in it.
            own = answer.status == 413 or not file.data
            return "" if own and not isinstance(file.expect, Answered) else flaw, False
        boxes = np.array([face["box"] for face in content["faces"]], np.float32).reshape(-1, 4)
        return _photo_flaw((content["width"], content["height"]), boxes, file), True

    return judge


def _photo_flaw(size: tuple[int, ...], boxes: NDArray[np.float32], file: HostileFile) -> str:
    expect = file.expect
    if not isinstance(expect, Answered):
        return _wrongly_answered(file)
    if size != expect.size:
        return f"it is {size}, and not {expect.size}"
    return face_flaw(boxes, expect)


def doors(grpc_address: str, rest_address: str = "") -> Iterator[tuple[str, Judge]]:
    """All ways in by their names; that over REST where there is one."""
    channel = grpc.insecure_channel(grpc_address, options=CHANNEL)
    yield "photo_analysis", photo_door(channel, "photo_analysis")
    yield "face_detect", photo_door(channel, "face_detect")
    yield "face_analysis", face_door(channel, "face_analysis")
    if rest_address:
        yield "REST", rest_door(rest_address)
