"""Spans of OpenTelemetry: one a call of the client, and within it one a request that is sent to the server.

A call's span is INTERNAL. A request's is CLIENT, by the conventions for RPC
(https://opentelemetry.io/docs/specs/semconv/rpc/): the server's span is its child. Over a transport of the
caller's own a request's is INTERNAL, too.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from .._exchange.steps import Infer, Pause, ReadModel, Reply, Steps
from .._version import __version__
from ..errors import QFaceError
from ..results import Analysis, Face
from .log import described

T = TypeVar("T")

_SERVICE = "inference.GRPCInferenceService"
_METHODS: Mapping[type, str] = {ReadModel: "ModelConfig", Infer: "ModelInfer"}
_OK = 0  # gRPC's status


class Spans:
    """Makes a client's spans; `provider` None: the program's own, "" as `url`: no server of ours."""

    def __init__(self, provider: TracerProvider | None, *, url: str) -> None:
        self._tracer = trace.get_tracer("qface_client", __version__, tracer_provider=provider)
        self._is_rpc = bool(url)
        self._server = _server_attributes(url)

    @contextlib.contextmanager
    def call(self, method: str, attributes: Mapping[str, Any]) -> Iterator["Call | None"]:
        """Around a call of a method; None within another one."""
        if _CURRENT.get() is not None:
            yield None
            return
        span = self._tracer.start_span(f"qface.{method}", attributes={**self._server, **attributes})
        call = Call(span)
        token = _CURRENT.set(call)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield call
        except BaseException as error:
            call.end(error)
            raise
        else:
            call.end(None)
        finally:
            _CURRENT.reset(token)

    def steps(self, steps: Steps[T]) -> Steps[T]:
        """The same steps; each request has a span, whose trace header it carries."""
        call, failure = _CURRENT.get(), None
        try:
            step = next(steps)
            while True:
                request = None
                if not isinstance(step, Pause):
                    request = self._request(step)
                    if call is not None and isinstance(step, Infer):
                        call.tries += 1
                    step = dataclasses.replace(step, metadata=_header(request))
                elif call is not None:
                    call.paused(step.seconds, failure)
                try:
                    outcome = yield step
                except BaseException as error:  # the request's own, or the call was given up
                    failure = error if isinstance(error, QFaceError) else None
                    if request is not None:
                        self._end(request, error)
                    step = steps.throw(error)
                else:
                    if request is not None:
                        if isinstance(outcome, Reply):
                            _state_reply(request, outcome)
                        self._end(request, None)
                    step = steps.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    def _request(self, step: ReadModel | Infer) -> Span:
        method = _METHODS[type(step)]
        attributes: dict[str, Any] = {"qface.model": step.model}
        if self._is_rpc:
            attributes |= {
                "rpc.system": "grpc",
                "rpc.service": _SERVICE,
                "rpc.method": method,
                **self._server,
            }
        return self._tracer.start_span(
            f"{_SERVICE}/{method}" if self._is_rpc else method,
            kind=SpanKind.CLIENT if self._is_rpc else SpanKind.INTERNAL,
            attributes=attributes,
        )

    def _end(self, request: Span, error: BaseException | None) -> None:
        if self._is_rpc:
            status = _OK if error is None else _grpc_status(error)
            if status is not None:
                request.set_attribute("rpc.grpc.status_code", status)
        _end(request, error)


class Call:
    """The span of one call of the client, and how often it has asked a model so far."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.tries = 0

    def paused(self, seconds: float, failure: QFaceError | None) -> None:
        """Another request follows in so many seconds."""
        reason = "contract" if failure is None else type(failure).__name__
        self._span.add_event("retry", {"qface.pause_seconds": round(seconds, 4), "error.type": reason})

    def answered(self, result: Any) -> None:
        """What the method returns."""
        if isinstance(result, Analysis | list):
            self._span.set_attribute("qface.faces", len(result))
        elif isinstance(result, Face):
            self._span.set_attribute("qface.faces", 1)

    def end(self, error: BaseException | None) -> None:
        """The call has ended; what it sent ends with its steps."""
        if self.tries:
            self._span.set_attribute("qface.tries", self.tries)
        _end(self._span, error)


# In whose context requests are sent: a client's methods use each other.
_CURRENT: ContextVar[Call | None] = ContextVar("qface_call", default=None)


def _header(request: Span) -> tuple[tuple[str, str], ...]:
    """What the program's propagator writes for the server, `traceparent` usually, as metadata."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context=trace.set_span_in_context(request))
    return tuple((name.lower(), value) for name, value in carrier.items())


def _state_reply(request: Span, reply: Reply) -> None:
    if reply.version:
        request.set_attribute("qface.model_version", reply.version)
    for name, milliseconds in reply.timings.items():
        request.set_attribute(f"qface.server.{name}_ms", milliseconds)


def _end(span: Span, error: BaseException | None) -> None:
    """Ends a span; of an error of ours with its sentence, of any other with its name alone."""
    if error is not None:
        name = type(error).__name__
        span.set_attribute("error.type", name)
        sentence = described(error) if isinstance(error, QFaceError) else name
        span.set_status(Status(StatusCode.ERROR, sentence))
    span.end()


def _grpc_status(error: BaseException) -> int | None:
    """gRPC's number of the status that an error comes from, where it comes from one."""
    code = getattr(error.__cause__, "code", None)
    if not callable(code):
        return None
    value = getattr(code(), "value", None)
    return value[0] if isinstance(value, tuple) else None


def _server_attributes(url: str) -> dict[str, str | int]:
    """The address; several servers, and a socket, as they were given."""
    host, _, port = url.rpartition(":")
    if not url:
        return {}
    if not host or "," in url or not port.isdecimal():
        return {"server.address": url}
    return {"server.address": host.rpartition("/")[2].strip("[]"), "server.port": int(port)}
