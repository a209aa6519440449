"""RequestTrace: the spans that the gateway makes for one request, each sent when it ends.

What they hold are times and numbers, a served model's name and words of the gateway's own: no picture, no
answer, no key, and nothing by which a client could be told from another.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from runtime.spans import (
    INTERNAL,
    SERVER,
    TRACEPARENT,
    Context,
    Span,
    new_id,
    read_header,
    sender_of_environment,
)

# Of a server's span, what counts as its own failure (OpenTelemetry's conventions for gRPC).
_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})

Value = bool | int | float | str
SendSpan = Callable[[Span], None]


class OpenSpan:
    """A span that is under way."""

    def __init__(self, send: SendSpan, around: Context, name: str, kind: str, attributes: Any) -> None:
        self.context = around.child()
        self._send = send
        self._parent = around.span
        self._name = name
        self._kind = kind
        self._attributes: dict[str, Value] = attributes
        self._begin = time.time_ns()
        self._ended = False

    def end(self, error: str = "") -> None:
        """Sends it; once."""
        if self._ended:
            return
        self._ended = True
        own = self.context
        self._send(
            Span(
                own.trace,
                own.span,
                self._parent,
                self._name,
                self._kind,
                self._begin,
                time.time_ns(),
                error,
                self._attributes,
            )
        )


class RequestTrace:
    """The trace of one request.

    id     in hexadecimal, for the access log
    code   the gRPC status that the request ended with, by name; "" while that is not known
    """

    def __init__(self, send: SendSpan, context: Context, *, parent: str, name: str) -> None:
        self.id = context.trace
        self._send = send
        self._context = context
        self._parent = parent
        self._name = name
        self._attributes: dict[str, Value] = {"qface.outcome": "abandoned"}  # until it is known
        self._begin = time.time_ns()
        self.code = ""
        self._is_of_somebody = False

    def known(self) -> None:
        """It is known who calls: a stranger's request is not traced, as they could fill the queue."""
        self._is_of_somebody = True

    def outcome(self, code: str, **attributes: Value) -> None:
        """How the request has ended, with attributes of its own span, `qface.` before each name."""
        self.code = code
        self._attributes = {f"qface.{name}": value for name, value in attributes.items() if value != ""}

    def span(self, name: str, *, kind: str = INTERNAL, **attributes: Value) -> OpenSpan:
        """A part of the request begins."""
        named = {f"qface.{each}": value for each, value in attributes.items()}
        return OpenSpan(self._send, self._context, name, kind, named)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Around a part of the request."""
        span = self.span(name)
        try:
            yield
        except BaseException as error:
            span.end(type(error).__name__)
            raise
        span.end()

    def finish(self, protocol: Mapping[str, Value]) -> None:
        """The request leaves the gateway; `protocol` are attributes by the conventions of its protocol."""
        if not self._is_of_somebody:
            return
        own = self._context
        self._send(
            Span(
                own.trace,
                own.span,
                self._parent,
                self._name,
                SERVER,
                self._begin,
                time.time_ns(),
                self.code if self.code in _ERRORS else "",
                {**protocol, **self._attributes},
            )
        )


class _Untraced(RequestTrace):
    """What stands for a trace where there is none: nothing is kept or sent."""

    def __init__(self) -> None:
        nowhere = Context("", "")
        super().__init__(lambda span: None, nowhere, parent="", name="")
        self._span = _NoSpan()
        self._phase = contextlib.nullcontext()

    def known(self) -> None:
        return

    def outcome(self, code: str, **attributes: Value) -> None:
        return

    def span(self, name: str, *, kind: str = INTERNAL, **attributes: Value) -> OpenSpan:
        return self._span

    def phase(self, name: str) -> Any:
        return self._phase

    def finish(self, protocol: Mapping[str, Value]) -> None:
        return


class _NoSpan(OpenSpan):
    def __init__(self) -> None:
        super().__init__(lambda span: None, Context("", ""), "", INTERNAL, {})

    def end(self, error: str = "") -> None:
        return


UNTRACED: RequestTrace = _Untraced()


class Traces:
    """Begins the traces of the requests that a front takes.

    Sampling is the parent's where a request names one, else a share `ratio` of all, chosen at random.
    """

    def __init__(self, send: SendSpan, *, ratio: float) -> None:
        self._send = send
        self._bound = round(ratio * (1 << 64))

    def begin(self, headers: Iterable[tuple[str, str | bytes]], *, name: str) -> RequestTrace:
        """The trace of a request that came with these headers (or gRPC's metadata), names in lower case."""
        given = next((value for key, value in headers if key == TRACEPARENT), None)
        found = read_header(given) if isinstance(given, str) else None
        if found is None:
            trace = new_id(16)
            if int(trace[16:], 16) >= self._bound:
                return UNTRACED
            return RequestTrace(self._send, Context(trace, new_id(8)), parent="", name=name)
        parent, is_sampled = found
        if not is_sampled:
            return UNTRACED
        return RequestTrace(self._send, parent.child(), parent=parent.span, name=name)


def traces_of_environment(*, ratio: float) -> Traces | None:
    """Traces whose spans go to the main process, where that takes any."""
    sender = sender_of_environment()
    return None if sender is None else Traces(sender.send, ratio=ratio)
