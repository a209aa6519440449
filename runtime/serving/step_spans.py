"""StepSpans: what a served model does for traced requests, as spans of their traces.

A request is traced where it brings the parameter `traceparent`, which the gateway adds; a parameter reaches
each step of an ensemble. Where no gateway takes spans, or a request is not traced, all of this does nothing.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runtime.spans import INTERNAL, TRACEPARENT, Attributes, Context, Span, read_header, sender_of_environment

_NOTHING = contextlib.nullcontext()


class StepSpans:
    """The spans of one model's process, which answers one request, or one batch of them, at a time."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._sender = sender_of_environment()
        self._current: Context | None = None  # the span that is under way, of a request that is traced
        self._error = ""

    def step(self, request: Any) -> contextlib.AbstractContextManager[None]:
        """Around all that is done for one request: a span with the model's name."""
        parent = self._parent_of(request)
        return _NOTHING if parent is None else self._within(self._model, parent, {})

    def together(self, requests: Sequence[Any], *, name: str = "") -> contextlib.AbstractContextManager[None]:
        """Around what is done for a batch of requests at once: each traced one gets a span of the whole time.

        The span has the model's name where it gets none of its own.
        """
        if self._sender is None:
            return _NOTHING
        parents = [parent for parent in map(self._parent_of, requests) if parent is not None]
        return self._of_each(name or self._model, parents, len(requests)) if parents else _NOTHING

    def phase(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Around a part of the step under way."""
        return _NOTHING if self._current is None else self._within(name, self._current, {})

    def failed(self, error: Exception) -> None:
        """The step under way ends in an error; its span names the error's type and nothing of its text."""
        self._error = type(error).__name__

    def parameters(self) -> Mapping[str, str] | None:
        """What a request to another model brings, so that its spans lie within the one under way."""
        return None if self._current is None else {TRACEPARENT: self._current.header()}

    # -- within -------------------------------------------------------------------------------------

    def _parent_of(self, request: Any) -> Context | None:
        if self._sender is None:
            return None
        sent: str = request.parameters()
        if TRACEPARENT not in sent:
            return None
        with contextlib.suppress(ValueError, AttributeError):
            found = read_header(str(json.loads(sent).get(TRACEPARENT, "")))
            return None if found is None else found[0]
        return None

    @contextlib.contextmanager
    def _within(self, name: str, parent: Context, attributes: Attributes) -> Iterator[None]:
        around, self._current = self._current, parent.child()
        own, begin = self._current, time.time_ns()
        error = ""
        try:
            yield
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            self._current = around
            if around is None:
                error, self._error = error or self._error, ""
            self._send(name, own, parent, begin, error, attributes)

    @contextlib.contextmanager
    def _of_each(self, name: str, parents: Sequence[Context], requests: int) -> Iterator[None]:
        begin = time.time_ns()
        error = ""
        try:
            yield
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            for parent in parents:
                self._send(name, parent.child(), parent, begin, error, {"qface.batched_requests": requests})

    def _send(
        self, name: str, own: Context, parent: Context, begin: int, error: str, attributes: Attributes
    ) -> None:
        assert self._sender is not None
        span = Span(
            own.trace, own.span, parent.span, name, INTERNAL, begin, time.time_ns(), error, attributes
        )
        self._sender.send(span)
