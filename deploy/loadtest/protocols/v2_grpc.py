"""The V2 protocol over gRPC: what the gateway, Triton and other servers of models speak."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as v2

from deploy.loadtest.protocols.answers import Expected
from deploy.loadtest.protocols.base import BROKEN, NO_DESCRIPTORS, Answer, Connection, Reply, Target
from deploy.loadtest.protocols.descriptions import from_config, from_metadata
from deploy.loadtest.protocols.mistakes import error_of
from deploy.loadtest.protocols.secure import check, read_pem
from deploy.loadtest.protocols.tensors import datatype_of, raw_bytes
from deploy.loadtest.work.question import Question
from qface_client.errors import ServerError
from qface_client.reading import read_answer

_SERVICE = "/inference.GRPCInferenceService"
_PUSHBACK = "grpc-retry-pushback-ms"
_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a channel is a connection of its own
    # A load sends each request once: what becomes of it is counted.
    ("grpc.enable_retries", 0),
    # A server that starts again is found within a second; gRPC's own pause grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
# What gRPC itself writes into a status (UNAVAILABLE, INTERNAL or UNKNOWN) where no answer came.
_NO_DESCRIPTORS = "Too many open files"
_NOBODY = ("Connection refused", "errors resolving", "No route to host", "Network is unreachable")
_BROKEN = (
    *("failed to connect to all addresses", "Connection reset", "recvmsg", "sendmsg", "Socket closed"),
    *("Broken pipe", "Stream removed", "RST_STREAM", "Failed parsing HTTP/2", "Endpoint closing"),
    *("Connection closed", "Transport closed", "Tls handshake failed", "FD Shutdown"),
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Message:
    data: bytes  # a ModelInferRequest
    expected: Expected


class _Connection:
    def __init__(self, target: Target) -> None:
        self._channel = channel_of(grpc.aio, target)
        # Bytes in, bytes out: nothing is made of a message again for each request.
        self._infer = self._channel.unary_unary(f"{_SERVICE}/ModelInfer")
        self._metadata = metadata_of(target)

    async def ask(self, message: _Message, *, deadline: float) -> Reply:
        try:
            data = await self._infer(message.data, timeout=deadline, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            return reply_of(error)
        try:
            answer = v2.ModelInferResponse.FromString(data)
        except DecodeError:
            return Reply(code=BROKEN, details="the answer is no ModelInferResponse")
        return message.expected.reply({tensor.name: tensor.shape for tensor in answer.outputs})

    async def close(self) -> None:
        await self._channel.close()


class GrpcDoor:
    """See the module."""

    name = "grpc"

    def message(self, question: Question) -> _Message:
        return _Message(data=request_of(question).SerializeToString(), expected=Expected.of(question))

    def connect(self, target: Target) -> Connection:
        return _Connection(target)

    def describe(self, target: Target, *, timeout: float, models: Sequence[str] = ()) -> Mapping[str, Any]:
        end = time.monotonic() + timeout
        with channel_of(grpc, target) as channel:

            def call(method: str, **fields: Any) -> Any:
                answer = getattr(v2, f"{method}Response")
                stub = channel.unary_unary(
                    f"{_SERVICE}/{method}",
                    request_serializer=lambda message: message.SerializeToString(),
                    response_deserializer=answer.FromString,
                )
                left = max(0.001, end - time.monotonic())
                request = getattr(v2, f"{method}Request")(**fields)
                return stub(request, timeout=left, metadata=metadata_of(target))

            try:
                server = call("ServerMetadata")
                names = _ready(call) or tuple(models)
                described = {name: _model(call, name) for name in names}
            except grpc.RpcError as error:
                raise error_of(reply_of(error), target=target, timeout=timeout) from None
        return {
            "server": server.name,
            "version": server.version,
            "extensions": list(server.extensions),
            "models": described,
        }

    def answer(self, target: Target, question: Question, *, timeout: float) -> Answer:
        with channel_of(grpc, target) as channel:
            infer = channel.unary_unary(f"{_SERVICE}/ModelInfer")
            try:
                data = infer(self.message(question).data, timeout=timeout, metadata=metadata_of(target))
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
                    raise ValueError(str(error.details())) from None
                raise error_of(reply_of(error), target=target, timeout=timeout) from None
        try:
            return Answer(tensors=read_answer(v2.ModelInferResponse.FromString(data)), size=len(data))
        except (ServerError, DecodeError) as error:
            raise ConnectionError(
                f"{target.address} answered what is none of the V2 protocol: {error}"
            ) from None


def request_of(question: Question) -> Any:
    """The question as a ModelInferRequest."""
    request = v2.ModelInferRequest(
        model_name=question.model, outputs=[{"name": name} for name in question.outputs]
    )
    for name, value in question.parameters.items():
        field = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[
            type(value)
        ]
        setattr(request.parameters[name], field, value)
    for name, tensor in question.inputs.items():
        datatype = datatype_of(tensor, name=name)
        request.inputs.add(name=name, datatype=datatype, shape=tensor.shape)
        request.raw_input_contents.append(raw_bytes(tensor, datatype))
    return request


def reply_of(error: Any) -> Reply:
    """How a call ended that had no answer; `error` is an RpcError of grpc or grpc.aio."""
    code, details = error.code().name, str(error.details() or "")
    wait = next((value for key, value in error.trailing_metadata() or () if key == _PUSHBACK), None)
    if wait is not None:
        # As gRPC reads it: what is negative or no number means that another try makes no sense.
        return Reply(code=code, details=details, pushback=int(wait) / 1e3 if wait.isdecimal() else None)
    if code in ("UNAVAILABLE", "INTERNAL", "UNKNOWN"):
        if _NO_DESCRIPTORS in details:
            # The socket's address, which is not connected, is bytes in that text.
            return Reply(code=NO_DESCRIPTORS, details=_NO_DESCRIPTORS)
        if not any(text in details for text in _NOBODY) and any(text in details for text in _BROKEN):
            return Reply(code=BROKEN, details=details)
    return Reply(code=code, details=details)


def channel_of(library: Any, target: Target) -> Any:
    """A channel of grpc or grpc.aio; ConnectionError for files that can't be used."""
    check(target)
    if not target.secure:
        return library.insecure_channel(target.address, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=read_pem(target.authorities),
        private_key=read_pem(target.private_key),
        certificate_chain=read_pem(target.certificate),
    )
    return library.secure_channel(target.address, credentials, options=_OPTIONS)


def metadata_of(target: Target) -> tuple[tuple[str, str], ...]:
    """What goes with each call; gRPC takes keys in small letters alone."""
    return tuple((key.lower(), value) for key, value in target.metadata)


def _ready(call: Any) -> tuple[str, ...]:
    """The names of the ready models; none of a server that keeps no index."""
    try:
        index = call("RepositoryIndex", ready=True)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED):
            return ()
        raise
    return tuple(dict.fromkeys(model.name for model in index.models))


def _model(call: Any, name: str) -> dict[str, Any]:
    try:
        answer = call("ModelConfig", name=name)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
        return from_metadata(_plain(call("ModelMetadata", name=name)))
    return from_config(_plain(answer.config))


def _plain(message: Any) -> dict[str, Any]:
    plain: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return plain
