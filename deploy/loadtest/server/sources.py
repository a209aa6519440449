"""What a V2 server returns of its models besides answers: counters and configurations, over gRPC or HTTP."""

import contextlib
import dataclasses
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import grpc
from google.protobuf import json_format
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.loadtest.protocols.base import Target
from deploy.loadtest.protocols.secure import context_of
from deploy.loadtest.protocols.v2_grpc import channel_of, metadata_of

SECONDS = 10.0  # for an answer; a server under load takes its time


class Source(Protocol):
    """Where counters come from; ConnectionError with a sentence where there are none."""

    def statistics(self) -> v2.ModelStatisticsResponse:
        """Of all models, or ConnectionError."""

    def config(self, model: str) -> Mapping[str, Any]:
        """A model's configuration, with the names that protobuf gives its fields, or ConnectionError."""

    def close(self) -> None: ...


class GrpcSource:
    """The V2 protocol over gRPC.

    target      the server, with the keys and files that the load is sent with
    address     "HOST:PORT" of its gRPC, where the load takes another way
    """

    def __init__(self, target: Target, *, address: str) -> None:
        self._address = address
        self._metadata = metadata_of(target)
        self._channel = channel_of(grpc, dataclasses.replace(target, address=address))
        self._stub = v2_grpc.GRPCInferenceServiceStub(self._channel)

    def statistics(self) -> v2.ModelStatisticsResponse:
        return self._call(self._stub.ModelStatistics, v2.ModelStatisticsRequest())

    def config(self, model: str) -> Mapping[str, Any]:
        answer = self._call(self._stub.ModelConfig, v2.ModelConfigRequest(name=model))
        found: dict[str, Any] = json_format.MessageToDict(answer.config, preserving_proto_field_name=True)
        return found

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            raise ConnectionError(
                f"{self._address} answers with {error.code().name}: {_line(error)}"
            ) from None


class HttpSource:
    """The V2 protocol over HTTP."""

    def __init__(self, target: Target) -> None:
        self._reader = PageReader(headers=target.metadata, context=context_of(target))
        self._url = f"{'https' if target.secure else 'http'}://{target.address}/v2/models"

    def statistics(self) -> v2.ModelStatisticsResponse:
        found = v2.ModelStatisticsResponse()
        content = self._reader.read(f"{self._url}/stats")
        try:
            return json_format.Parse(content, found, ignore_unknown_fields=True)
        except json_format.ParseError as error:
            raise ConnectionError(
                f"{self._url}/stats is no statistics of the V2 protocol ({error})"
            ) from None

    def config(self, model: str) -> Mapping[str, Any]:
        url = f"{self._url}/{urllib.parse.quote(model, safe='')}/config"
        try:
            found = json.loads(self._reader.read(url))
        except ValueError as error:
            raise ConnectionError(f"{url} is no configuration of the V2 protocol ({error})") from None
        if not isinstance(found, dict):
            raise ConnectionError(f"{url} is no configuration of the V2 protocol")
        return found

    def close(self) -> None:
        return


class PageReader:
    """Reads pages over HTTP, never by way of a proxy."""

    def __init__(
        self, *, headers: Sequence[tuple[str, str]] = (), context: ssl.SSLContext | None = None
    ) -> None:
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)
        self._opener.addheaders = list(headers)

    def read(self, url: str) -> bytes:
        """The page; ConnectionError with a sentence where there is none."""
        with _as_connection_error(url), self._opener.open(url, timeout=SECONDS) as answer:
            content: bytes = answer.read()
        return content


def source_of(target: Target, *, grpc_address: str) -> Source:
    """The way to a server's counters; ConnectionError with a sentence where there is none.

    grpc_address    of the server where the load goes over another protocol; "": not known
    """
    if grpc_address or target.protocol == "grpc":
        return GrpcSource(target, address=grpc_address or target.address)
    if target.protocol == "http":
        return HttpSource(target)
    raise ConnectionError(f"{target.protocol.upper()} has none, and no gRPC address was given (--grpc-url)")


@contextlib.contextmanager
def _as_connection_error(url: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise ConnectionError(f"{url} answers with status {error.code}") from None
    except urllib.error.URLError as error:
        raise ConnectionError(f"{url} can't be read ({error.reason})") from None
    except (OSError, ValueError) as error:  # a connection that ends within an answer
        raise ConnectionError(f"{url} can't be read ({error})") from None


def _line(error: grpc.RpcError) -> str:
    return " ".join((error.details() or "").split())[:200]
