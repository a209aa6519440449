"""Requests that are wrong, or meant to do harm, end in a typed error; nothing dies, nobody else notices."""

import dataclasses
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.benchmark.load import Samples
from deploy.benchmark.load.sample_requests import CHANNEL
from deploy.gateway.operation.service import GatewayServer
from tests.helpers.bystanders import ask, stub_of, unharmed

SERVICE = "/inference.GRPCInferenceService/"
SECONDS = 60.0  # of each hostile call
# What a Triton on this machine calls its regions by; no error may name one.
REGION = ("qface_", "/dev/shm", "triton_python_backend_shm")

Change = Callable[[v2.ModelInferRequest], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ended:
    """How a hostile call ended."""

    code: grpc.StatusCode
    details: str

    def __post_init__(self) -> None:
        assert not any(word in self.details for word in REGION), self.details


def ended(call: Callable[[], Any]) -> Ended:
    try:
        call()
    except grpc.RpcError as error:
        return Ended(code=error.code(), details=error.details())
    return Ended(code=grpc.StatusCode.OK, details="")


def classification(request: v2.ModelInferRequest) -> None:
    """On every output, those of text among them: an arithmetic exception (SIGFPE) in Triton 2.51."""
    for output in request.outputs:
        output.parameters["classification"].int64_param = 3


def unknown_parameter(request: v2.ModelInferRequest) -> None:
    request.parameters["binary_data_output"].bool_param = True
    request.parameters["no_such_parameter"].string_param = "x"


def sequence(request: v2.ModelInferRequest) -> None:
    request.parameters["sequence_id"].int64_param = 7
    request.parameters["sequence_start"].bool_param = True


def shared_memory_input(request: v2.ModelInferRequest) -> None:
    del request.raw_input_contents[:]
    for tensor in request.inputs:
        tensor.parameters["shared_memory_region"].string_param = "region"
        tensor.parameters["shared_memory_byte_size"].int64_param = 8


def shared_memory_output(request: v2.ModelInferRequest) -> None:
    for output in request.outputs:
        output.parameters["shared_memory_region"].string_param = "region"
        output.parameters["shared_memory_byte_size"].int64_param = 8


def huge_side(request: v2.ModelInferRequest) -> None:
    request.inputs[0].shape[0] = 2**62


def huge_product(request: v2.ModelInferRequest) -> None:
    del request.inputs[0].shape[:]
    request.inputs[0].shape.extend([2**40, 2**40])


def negative_side(request: v2.ModelInferRequest) -> None:
    request.inputs[0].shape[0] = -1


def nothing_in_it(request: v2.ModelInferRequest) -> None:
    request.inputs[0].shape[0] = 0
    request.raw_input_contents[0] = b""


def many_dimensions(request: v2.ModelInferRequest) -> None:
    request.inputs[0].shape.extend([1] * 100_000)


def no_dimension(request: v2.ModelInferRequest) -> None:
    del request.inputs[0].shape[:]


def missing_tensor(request: v2.ModelInferRequest) -> None:
    del request.inputs[0]
    del request.raw_input_contents[0]


def doubled_tensor(request: v2.ModelInferRequest) -> None:
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


def unknown_tensor(request: v2.ModelInferRequest) -> None:
    request.inputs.add(name="no_such_tensor", datatype="FP32", shape=[1])
    request.raw_input_contents.append(b"\0" * 4)


def unknown_output(request: v2.ModelInferRequest) -> None:
    request.outputs.add(name="no_such_output")


def doubled_output(request: v2.ModelInferRequest) -> None:
    request.outputs.append(request.outputs[0])


def another_datatype(request: v2.ModelInferRequest) -> None:
    request.inputs[0].datatype = "BYTES"


def no_such_datatype(request: v2.ModelInferRequest) -> None:
    request.inputs[0].datatype = "F" * 100_000


def too_few_bytes(request: v2.ModelInferRequest) -> None:
    request.raw_input_contents[0] = request.raw_input_contents[0][:-1]


def too_many_bytes(request: v2.ModelInferRequest) -> None:
    request.raw_input_contents[0] += b"\0"


def too_few_buffers(request: v2.ModelInferRequest) -> None:
    del request.raw_input_contents[0]


def too_many_buffers(request: v2.ModelInferRequest) -> None:
    request.raw_input_contents.append(b"more")


def both_sorts_of_contents(request: v2.ModelInferRequest) -> None:
    request.inputs[0].contents.uint_contents.extend([1, 2, 3])


def name_of_a_megabyte(request: v2.ModelInferRequest) -> None:
    request.inputs[0].name = "x" * 2**20


def name_that_is_markup(request: v2.ModelInferRequest) -> None:
    request.inputs[0].name = '"}\n# HELP x\r\n\0<script>%s{}\x1b[2J'


CHANGES: list[Change] = [
    classification,
    unknown_parameter,
    sequence,
    shared_memory_input,
    shared_memory_output,
    huge_side,
    huge_product,
    negative_side,
    nothing_in_it,
    many_dimensions,
    no_dimension,
    missing_tensor,
    doubled_tensor,
    unknown_tensor,
    unknown_output,
    doubled_output,
    another_datatype,
    no_such_datatype,
    too_few_bytes,
    too_many_bytes,
    too_few_buffers,
    too_many_buffers,
    both_sorts_of_contents,
    name_of_a_megabyte,
    name_that_is_markup,
]


@pytest.fixture(scope="module")
def requests(samples: Samples) -> list[v2.ModelInferRequest]:
    """A valid request to every model, that names all outputs."""
    made = []
    for model in samples.by_model:
        request = v2.ModelInferRequest()
        request.CopyFrom(samples.of(model, 0).request)
        request.outputs.extend(
            v2.ModelInferRequest.InferRequestedOutputTensor(name=output.name)
            for output in samples.configs[model].output
        )
        made.append(request)
    return made


def copies(requests: list[v2.ModelInferRequest], change: Change) -> Iterator[v2.ModelInferRequest]:
    for request in requests:
        changed = v2.ModelInferRequest()
        changed.CopyFrom(request)
        change(changed)
        yield changed


def test_a_request_that_names_every_output_is_answered(
    gateway: GatewayServer, requests: list[v2.ModelInferRequest]
) -> None:
    """So that it is the change that is refused below."""
    for request in requests:
        answer = ask(gateway.grpc_address, request)
        assert {output.name for output in answer.outputs} == {output.name for output in request.outputs}


def test_what_can_not_be_used_is_an_invalid_argument_and_never_reaches_triton(
    gateway: GatewayServer, samples: Samples, requests: list[v2.ModelInferRequest]
) -> None:
    accepted = []
    with unharmed(gateway, samples), stub_of(gateway.grpc_address) as stub:
        for change in CHANGES:
            for request in copies(requests, change):
                end = ended(lambda request=request: stub.ModelInfer(request, timeout=SECONDS))
                assert len(end.details) < 1000, (change.__name__, len(end.details))
                if end.code is not grpc.StatusCode.INVALID_ARGUMENT:
                    accepted.append((change.__name__, request.model_name, end))
    assert not accepted


@pytest.mark.parametrize(
    ("model", "version"),
    [("no_such_model", ""), ("", ""), ("x" * 2**20, ""), ("../../etc", ""), (None, "99"), (None, "../1")],
)
def test_a_model_that_is_not_there_is_a_typed_error(
    gateway: GatewayServer,
    samples: Samples,
    requests: list[v2.ModelInferRequest],
    model: str | None,
    version: str,
) -> None:
    changed = v2.ModelInferRequest()
    changed.CopyFrom(requests[0])
    changed.model_version = version
    if model is not None:
        changed.model_name = model
    end = ended(lambda: ask(gateway.grpc_address, changed))
    assert end.code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT), end
    assert len(end.details) < 1000


CLOSED = {
    "RepositoryModelLoad": v2.RepositoryModelLoadRequest(model_name="face_analysis"),
    "RepositoryModelUnload": v2.RepositoryModelUnloadRequest(model_name="face_analysis"),
    "SystemSharedMemoryRegister": v2.SystemSharedMemoryRegisterRequest(name="a", key="/a", byte_size=64),
    "SystemSharedMemoryUnregister": v2.SystemSharedMemoryUnregisterRequest(),
    "SystemSharedMemoryStatus": v2.SystemSharedMemoryStatusRequest(),
    "CudaSharedMemoryRegister": v2.CudaSharedMemoryRegisterRequest(name="a", byte_size=64),
    "CudaSharedMemoryUnregister": v2.CudaSharedMemoryUnregisterRequest(),
    "CudaSharedMemoryStatus": v2.CudaSharedMemoryStatusRequest(),
    "LogSettings": v2.LogSettingsRequest(),
    "TraceSetting": v2.TraceSettingRequest(),
}


@pytest.mark.parametrize("method", CLOSED)
def test_a_method_that_changes_the_server_is_not_open(
    gateway: GatewayServer, samples: Samples, method: str
) -> None:
    with unharmed(gateway, samples), stub_of(gateway.grpc_address) as stub:
        end = ended(lambda: getattr(stub, method)(CLOSED[method], timeout=SECONDS))
    assert end.code is grpc.StatusCode.PERMISSION_DENIED, end
    assert len(end.details) > 40, "a sentence that names what to do"


def test_streams_are_not_implemented(gateway: GatewayServer, requests: list[v2.ModelInferRequest]) -> None:
    with stub_of(gateway.grpc_address) as stub:
        end = ended(lambda: list(stub.ModelStreamInfer(iter(requests), timeout=SECONDS)))
    assert end.code is grpc.StatusCode.UNIMPLEMENTED, end


def test_bytes_that_are_no_request_are_a_typed_error(
    gateway: GatewayServer, samples: Samples, requests: list[v2.ModelInferRequest]
) -> None:
    """Random ones, and every request cut short, or with bytes changed."""
    chance = random.Random(5)
    whole = [request.SerializeToString() for request in requests]
    messages = [chance.randbytes(size) for size in (1, 10, 1000, 100_000) for _ in range(10)]
    messages += [data[: len(data) * part // 7] for data in whole for part in range(1, 7)]
    for data in whole:
        for _ in range(20):
            changed = bytearray(data)
            for _ in range(chance.randint(1, 5)):
                changed[chance.randrange(min(len(changed), 400))] = chance.randrange(256)
            messages.append(bytes(changed))
    codes = set()
    with unharmed(gateway, samples), grpc.insecure_channel(gateway.grpc_address, options=CHANNEL) as channel:
        for method in ("ModelInfer", "ModelConfig", "ModelMetadata", "ModelReady", "ServerLive"):
            call = channel.unary_unary(SERVICE + method)
            for message in messages if method == "ModelInfer" else messages[:40]:
                codes.add(ended(lambda call=call, message=message: call(message, timeout=SECONDS)).code)
        codes.add(ended(lambda: channel.unary_unary(SERVICE + "NoSuchMethod")(b"", timeout=SECONDS)).code)
        codes.add(ended(lambda: channel.unary_unary("/no.Service/Method")(b"", timeout=SECONDS)).code)
    typed = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "INTERNAL", "RESOURCE_EXHAUSTED"}
    assert {code.name for code in codes} <= typed
    assert grpc.StatusCode.INVALID_ARGUMENT in codes


def test_a_request_beyond_the_bounds_is_refused(gateway: GatewayServer, samples: Samples) -> None:
    """More bytes and more rows than are taken, each its own size."""
    crops = v2.ModelInferRequest()
    crops.CopyFrom(samples.of("crop_analysis", 0).request)
    rows = samples.configs["crop_analysis"].max_batch_size + 1
    crops.inputs[0].shape[0] = rows
    crops.raw_input_contents[0] *= rows
    large = v2.ModelInferRequest()
    large.CopyFrom(samples.of("crop_analysis", 0).request)
    large.inputs[0].shape[1:3] = [10_000, 10_000]
    large.raw_input_contents[0] = bytes(math.prod(large.inputs[0].shape))
    with unharmed(gateway, samples):
        for request in (crops, large):
            end = ended(lambda request=request: ask(gateway.grpc_address, request))
            # gRPC itself refuses a message over its own bound before there is a request to validate.
            assert end.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED), end
