"""Answers: what the gateway answers by itself, from what it knows of the active Triton."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.authority import Authority
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.front.validation import unknown_model
from deploy.gateway.refusals import Refusal, invalid, unavailable

MAX_BYTES = 64 * 1024  # of a request

# Of Triton's extensions, what a caller of the gateway can use.
_EXTENSIONS = frozenset(
    (
        "model_repository",
        "schedule_policy",
        "model_configuration",
        "binary_tensor_data",
        "parameters",
        "statistics",
    )
)
_RETRY_AFTER = 1.0  # seconds


class Answers:
    """By method, from a serialised request to a serialised answer. Refusal where there is none."""

    def __init__(self, authority: Authority, *, is_open: Callable[[], bool]) -> None:
        self._authority = authority
        self._is_open = is_open
        self.methods: Mapping[str, Callable[[bytes], bytes]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "RepositoryIndex": self._repository_index,
        }
        # Of those that Triton answers: from a request to one that it can read, about what it has.
        self.forwarded: Mapping[str, Callable[[bytes], bytes]] = {"ModelStatistics": self._model_statistics}

    def health(self, model: str | None = None) -> tuple[bool, str]:
        """The authority's, and that requests are taken at all."""
        if not self._is_open():
            return False, "the server is stopping"
        return self._authority.health(model)

    def _server_live(self, data: bytes) -> bytes:
        return _serialised(v2.ServerLiveResponse(live=True))

    def _server_ready(self, data: bytes) -> bytes:
        return _serialised(v2.ServerReadyResponse(ready=self.health()[0]))

    def _model_ready(self, data: bytes) -> bytes:
        request = parsed(v2.ModelReadyRequest, data)
        served = self._authority.served()
        known = served is not None and _has(served, request.name, request.version)
        return _serialised(v2.ModelReadyResponse(ready=known and self.health(request.name)[0]))

    def _server_metadata(self, data: bytes) -> bytes:
        message = v2.ServerMetadataResponse.FromString(self._served().server_metadata)
        kept = [extension for extension in message.extensions if extension in _EXTENSIONS]
        del message.extensions[:]
        message.extensions.extend(kept)
        return _serialised(message)

    def _model_metadata(self, data: bytes) -> bytes:
        request = parsed(v2.ModelMetadataRequest, data)
        return self._checked(request.name, request.version).metadata[request.name]

    def _model_config(self, data: bytes) -> bytes:
        request = parsed(v2.ModelConfigRequest, data)
        return self._checked(request.name, request.version).configs[request.name]

    def _repository_index(self, data: bytes) -> bytes:
        request = parsed(v2.RepositoryIndexRequest, data)
        response = v2.RepositoryIndexResponse()
        for name, signature in sorted(self._served().signatures.items()):
            is_ready, reason = self.health(name)
            if request.ready and not is_ready:
                continue
            for version in sorted(signature.versions):
                response.models.add(
                    name=name,
                    version=version,
                    state="READY" if is_ready else "UNAVAILABLE",
                    reason="" if is_ready else reason,
                )
        return _serialised(response)

    def _model_statistics(self, data: bytes) -> bytes:
        request = parsed(v2.ModelStatisticsRequest, data)
        if request.name or request.version:
            self._checked(request.name, request.version)
        return data

    def _served(self) -> ServedModels:
        served = self._authority.served()
        if served is None:
            raise not_ready(self._authority)
        return served

    def _checked(self, name: str, version: str) -> ServedModels:
        """What is served, if it has this model; NOT_FOUND otherwise."""
        served = self._served()
        if not _has(served, name, version):
            raise unknown_model(name, version if name in served.signatures else "")
        return served


def not_ready(authority: Authority) -> Refusal:
    """UNAVAILABLE, with the authority's reason."""
    _, reason = authority.health()
    return unavailable(
        reason or "the server is not ready: try again", reason="not_ready", retry_after=_RETRY_AFTER
    )


def _has(served: ServedModels, name: str, version: str) -> bool:
    signature = served.signatures.get(name)
    return signature is not None and (not version or version in signature.versions)


def check_small(data: bytes, name: str) -> None:
    """Refusal (INVALID_ARGUMENT) for a request of `name` that is no inference and yet large."""
    if len(data) > MAX_BYTES:
        raise invalid(f"the request has {len(data)} bytes, and a {name} may have {MAX_BYTES}")


def parsed(kind: type[Any], data: bytes) -> Any:
    """A small request; Refusal (INVALID_ARGUMENT) for what is none."""
    check_small(data, kind.DESCRIPTOR.name)
    try:
        return kind.FromString(data)
    except DecodeError:
        raise invalid(f"the request can't be read: send a {kind.DESCRIPTOR.name}") from None


def _serialised(message: Message) -> bytes:
    data: bytes = message.SerializeToString()
    return data
