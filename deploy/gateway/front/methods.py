"""Every method of the V2 protocol's gRPC service, and what becomes of a call to it.

A method that is not here does not exist: gRPC itself answers UNIMPLEMENTED.
"""

import dataclasses
import enum
from collections.abc import Mapping

import grpc

SERVICE = "inference.GRPCInferenceService"


class Handling(enum.Enum):
    """Who answers a call."""

    INFERRED = enum.auto()  # validated, admitted, sent to a Triton
    FORWARDED = enum.auto()  # read, and sent to the active Triton as it is
    ANSWERED = enum.auto()  # by the gateway, from what it knows of that Triton
    REFUSED = enum.auto()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """What becomes of a call.

    open_to_all     answered without an API key, because what probes a server has none
    code, sentence  of a refusal
    """

    handling: Handling
    open_to_all: bool = False
    code: grpc.StatusCode = grpc.StatusCode.OK
    sentence: str = ""


def _refused(sentence: str, code: grpc.StatusCode = grpc.StatusCode.PERMISSION_DENIED) -> Method:
    return Method(handling=Handling.REFUSED, code=code, sentence=sentence)


_PROBE = Method(handling=Handling.ANSWERED, open_to_all=True)
_DESCRIPTION = Method(handling=Handling.ANSWERED)
_REPOSITORY = _refused(
    "models are not loaded or unloaded through this port: the operator swaps the whole repository, with "
    "`python -m deploy.gateway swap`"
)
_SHARED_MEMORY = _refused(
    "shared memory is not open here, as it would let callers reach each other's tensors: send tensors in the "
    "request"
)
_SETTINGS = _refused(
    "the server's trace and log settings are not open to callers: the operator sets them when it starts"
)

METHODS: Mapping[str, Method] = {
    "ServerLive": _PROBE,
    "ServerReady": _PROBE,
    "ModelReady": _PROBE,
    "ServerMetadata": _DESCRIPTION,
    "ModelMetadata": _DESCRIPTION,
    "ModelConfig": _DESCRIPTION,
    "RepositoryIndex": _DESCRIPTION,
    "ModelInfer": Method(handling=Handling.INFERRED),
    "ModelStatistics": Method(handling=Handling.FORWARDED),
    "ModelStreamInfer": _refused(
        "streams are not served, as no model here answers in parts: call ModelInfer for each request",
        grpc.StatusCode.UNIMPLEMENTED,
    ),
    "RepositoryModelLoad": _REPOSITORY,
    "RepositoryModelUnload": _REPOSITORY,
    "SystemSharedMemoryStatus": _SHARED_MEMORY,
    "SystemSharedMemoryRegister": _SHARED_MEMORY,
    "SystemSharedMemoryUnregister": _SHARED_MEMORY,
    "CudaSharedMemoryStatus": _SHARED_MEMORY,
    "CudaSharedMemoryRegister": _SHARED_MEMORY,
    "CudaSharedMemoryUnregister": _SHARED_MEMORY,
    "TraceSetting": _SETTINGS,
    "LogSettings": _SETTINGS,
}
