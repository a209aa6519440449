"""Whether a client's calls are traced; OpenTelemetry is imported where they are, and only there."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from .._exchange.steps import Steps
from ..errors import InvalidInput

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

_signature = functools.cache(inspect.signature)  # where calls are traced only: it takes time

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class CallSpan(Protocol):
    """The span of one call of a client's method."""

    def answered(self, result: Any) -> None:
        """What the method returns: its faces are counted."""
        ...


class Tracing(Protocol):
    """Makes the spans of a client."""

    def call(self, method: str, attributes: Mapping[str, Any]) -> AbstractContextManager[CallSpan | None]:
        """Around a call; None within a method that another one uses, which has a span already."""
        ...

    def steps(self, steps: Steps[T]) -> Steps[T]:
        """The same steps, each with a span of its own and a trace header for the server."""
        ...


def tracing_of(tracing: "TracerProvider | bool | None", *, url: str) -> Tracing | None:
    """What `FaceClient(tracing=)` means; `url`: the server's, "" for a transport of the caller's own."""
    if tracing is None or tracing is False:
        return None
    try:
        from .spans import Spans
    except ImportError as error:
        raise ImportError(
            f"tracing needs OpenTelemetry's API ({error}): pip install 'qface-client[otel]'"
        ) from error
    if tracing is True:
        return Spans(None, url=url)
    if not hasattr(tracing, "get_tracer"):
        raise InvalidInput(
            "tracing is None, True (the program's own tracer provider) or a TracerProvider of OpenTelemetry, "
            f"not {type(tracing).__name__}"
        )
    return Spans(tracing, url=url)


def traced(method: F) -> F:
    """A span around each call of a client's method, where the client has a `_tracing`."""

    def around(client: Any, *arguments: Any, **named: Any) -> AbstractContextManager[CallSpan | None]:
        given = _signature(method).bind_partial(client, *arguments, **named).arguments
        span: AbstractContextManager[CallSpan | None] = client._tracing.call(
            method.__name__, _attributes(given)
        )
        return span

    if asyncio.iscoroutinefunction(method):

        @functools.wraps(method)
        async def traced_later(client: Any, *arguments: Any, **named: Any) -> Any:
            if client._tracing is None:
                return await method(client, *arguments, **named)
            with around(client, *arguments, **named) as span:
                result = await method(client, *arguments, **named)
                if span is not None:
                    span.answered(result)
                return result

        return cast(F, traced_later)

    @functools.wraps(method)
    def traced_now(client: Any, *arguments: Any, **named: Any) -> Any:
        if client._tracing is None:
            return method(client, *arguments, **named)
        with around(client, *arguments, **named) as span:
            result = method(client, *arguments, **named)
            if span is not None:
                span.answered(result)
            return result

    return cast(F, traced_now)


def _attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(network := given.get("model"), str):
        found["qface.network"] = network
    tasks = given.get("tasks")
    if isinstance(tasks, str):
        found["qface.tasks"] = (tasks,)
    elif isinstance(tasks, Collection):  # what can be iterated once is the method's
        found["qface.tasks"] = tuple(map(str, tasks))
    return found
