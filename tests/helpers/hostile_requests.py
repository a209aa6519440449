"""Ways to make a valid request invalid, or a danger, and how a call ends that carries one."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as v2

SERVICE = "/inference.GRPCInferenceService/"
# What a Triton on this machine calls its regions by; no error may name one.
REGION = ("qface_", "/dev/shm", "triton_python_backend_shm")

# Of tensors, as the protocol spells them.
DATATYPES = tuple(
    name.removeprefix("TYPE_").replace("STRING", "BYTES")
    for name in model_config_pb2.DataType.keys()  # noqa: SIM118 - an enum of protobuf, not a dict
    if name != "TYPE_INVALID"
)

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


def copies(requests: Iterable[v2.ModelInferRequest], change: Change) -> Iterator[v2.ModelInferRequest]:
    for request in requests:
        changed = v2.ModelInferRequest()
        changed.CopyFrom(request)
        change(changed)
        yield changed
