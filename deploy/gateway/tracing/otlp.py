"""Spans as OTLP over HTTP: https://opentelemetry.io/docs/specs/otlp/, protobuf encoding."""

import http.client
import socket
import ssl
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from runtime.spans import CLIENT, INTERNAL, SERVER, Span

_PATH = "/v1/traces"
_HEADERS = {"Content-Type": "application/x-protobuf"}
_SECONDS = 5.0  # for a collector to take a batch
_ANSWER_BYTES = 64 * 1024
_KINDS = {
    INTERNAL: trace_pb2.Span.SPAN_KIND_INTERNAL,
    SERVER: trace_pb2.Span.SPAN_KIND_SERVER,
    CLIENT: trace_pb2.Span.SPAN_KIND_CLIENT,
}


class OtlpError(Exception):
    """The collector did not take a batch, in a few words."""


class Otlp:
    """Posts batches of spans to one collector. For one thread.

    endpoint   "http://collector:4318"; the path of traces is added
    resource   attributes of all spans
    """

    def __init__(self, endpoint: str, *, resource: Mapping[str, str]) -> None:
        url = urllib.parse.urlsplit(endpoint)
        make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        assert url.hostname is not None
        self._connection = make(url.hostname, url.port, timeout=_SECONDS)
        self._path = url.path.rstrip("/") + _PATH
        self._resource = Resource(attributes=_attributes(resource.items()))

    def post(self, spans: Sequence[Span]) -> int:
        """Sends the spans; how many of them were taken. OtlpError where none was."""
        body = self._request(spans).SerializeToString()
        try:
            status, content = self._exchange(body)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise OtlpError(_reason(error)) from error
        if status != http.client.OK:
            raise OtlpError(f"it answers with status {status}")
        try:
            rejected: int = ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans
        except DecodeError:
            rejected = 0
        return max(0, len(spans) - rejected)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        """The status and the content of the answer, over a new connection where one that stood has ended."""
        stood = self._connection.sock is not None
        try:
            return self._exchange_once(body)
        except ConnectionError:  # a collector ends what is idle, or was started anew
            self._connection.close()
            if not stood:
                raise
        return self._exchange_once(body)

    def _exchange_once(self, body: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", self._path, body=body, headers=_HEADERS)
        answer = self._connection.getresponse()
        content = answer.read(_ANSWER_BYTES)
        if not answer.isclosed():  # there is more of it, which nobody wants
            self._connection.close()
        return answer.status, content

    def _request(self, spans: Sequence[Span]) -> ExportTraceServiceRequest:
        scoped = trace_pb2.ScopeSpans(scope=InstrumentationScope(name="q-face"), spans=map(_message, spans))
        resource = trace_pb2.ResourceSpans(resource=self._resource, scope_spans=[scoped])
        return ExportTraceServiceRequest(resource_spans=[resource])


def _message(span: Span) -> trace_pb2.Span:
    error = trace_pb2.Status.STATUS_CODE_ERROR
    return trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace),
        span_id=bytes.fromhex(span.id),
        parent_span_id=bytes.fromhex(span.parent),
        name=span.name,
        kind=_KINDS.get(span.kind, trace_pb2.Span.SPAN_KIND_UNSPECIFIED),
        start_time_unix_nano=span.begin,
        end_time_unix_nano=span.end,
        attributes=_attributes(span.attributes.items()),
        status=trace_pb2.Status(code=error, message=span.error) if span.error else None,
    )


def _attributes(items: Iterable[tuple[str, bool | int | float | str]]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in items]


def _value(value: bool | int | float | str) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
    return AnyValue(string_value=str(value))


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"it does not answer within {_SECONDS:g} s"
    if isinstance(error, socket.gaierror):
        return "its host is not known"
    if isinstance(error, ssl.SSLError):
        return f"its TLS can't be used: {error.reason}"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else type(error).__name__
