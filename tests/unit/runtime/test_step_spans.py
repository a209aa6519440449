"""The spans of a served model's steps: of traced requests only, and nothing of their content."""

import contextlib
import importlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import spans
from runtime.errors import InvalidInput
from runtime.spans import Context, Span, read_line
from tests.helpers.fake_backend import Request, initialize

PARENT = Context("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


class TracedRequest(Request):
    """A request with parameters, as the backend passes them."""

    def __init__(self, parameters: dict[str, Any], value: float = 1.0) -> None:
        super().__init__(["y"], x=np.array([value]))
        self._parameters = json.dumps(parameters)

    def parameters(self) -> str:
        return self._parameters


class Inbox:
    """The other side of a model's socket."""

    def __init__(self, listener: socket.socket, closing: contextlib.ExitStack) -> None:
        self._listener = listener
        self._closing = closing

    def model(self) -> Any:
        """A served model that sends its spans here."""
        served = initialize(importlib.import_module("runtime.serving.base").ServedModel())
        self._closing.callback(served.spans._sender.close)
        return served

    def spans(self) -> list[Span]:
        """All that was sent by now."""
        self._listener.setblocking(False)
        found = b""
        with contextlib.suppress(BlockingIOError):
            taking, _ = self._listener.accept()
            with taking:
                taking.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while data := taking.recv(1 << 16):
                        found += data
        read = [read_line(line) for line in found.splitlines()]
        return [each for each in read if isinstance(each, Span)]


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    with contextlib.ExitStack() as closing:
        listener = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(str(tmp_path / "spans"))
        listener.listen()
        monkeypatch.setenv(spans.SOCKET, str(tmp_path / "spans"))
        yield Inbox(listener, closing)


def traced(value: float = 1.0) -> TracedRequest:
    return TracedRequest({"traceparent": PARENT.header(), "min_score": 0.5}, value)


def test_a_step_has_a_span_and_its_phases_lie_within(backend: Any, inbox: Inbox) -> None:
    served = inbox.model()

    def answer(request: Request) -> dict[str, Any]:
        with served.spans.phase("decode"):
            pass
        with served.spans.phase("engine"):
            assert served.spans.parameters() is not None
        return {"y": request.tensors["x"].values}

    served.respond(traced(), answer)
    found = {span.name: span for span in inbox.spans()}
    assert found.keys() == {"decode", "engine", served.name}
    assert {span.trace for span in found.values()} == {PARENT.trace}
    assert found[served.name].parent == PARENT.span
    assert found["decode"].parent == found["engine"].parent == found[served.name].id
    assert served.spans.parameters() is None  # outside of a request


def test_what_is_called_within_a_phase_belongs_to_that_phase(backend: Any, inbox: Inbox) -> None:
    served = inbox.model()
    passed: list[str] = []

    def answer(request: Request) -> dict[str, Any]:
        with served.spans.phase("engine"):
            passed.append(served.spans.parameters()["traceparent"])
        return {}

    served.respond(traced(), answer)
    (engine,) = [span for span in inbox.spans() if span.name == "engine"]
    assert passed == [Context(PARENT.trace, engine.id).header()]


@pytest.mark.parametrize(
    "parameters", [{}, {"min_score": 0.5}, {"traceparent": "nonsense"}, {"traceparent": 7}]
)
def test_a_request_that_is_not_traced_has_no_spans(
    backend: Any, inbox: Inbox, parameters: dict[str, Any]
) -> None:
    served = inbox.model()
    response = served.respond(TracedRequest(parameters), lambda request: {"y": np.zeros(1)})
    assert not response.has_error()
    assert inbox.spans() == []


def test_without_a_gateway_that_takes_spans_not_even_parameters_are_read(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(spans.SOCKET, raising=False)
    served = initialize(importlib.import_module("runtime.serving.base").ServedModel())
    # Its requests here have no parameters() at all.
    assert not served.respond(Request(["y"]), lambda request: {"y": np.zeros(1)}).has_error()


def test_a_failed_step_names_the_error_s_type_and_nothing_of_its_text(backend: Any, inbox: Inbox) -> None:
    served = inbox.model()

    def answer(request: Request) -> dict[str, Any]:
        with served.spans.phase("decode"):
            raise InvalidInput("the picture of somebody")

    assert served.respond(traced(), answer).has_error()
    assert not served.respond(traced(), lambda request: {"y": np.zeros(1)}).has_error()
    found = inbox.spans()
    assert [(span.name, span.error) for span in found] == [
        ("decode", "InvalidInput"),
        (served.name, "InvalidInput"),
        (served.name, ""),
    ]
    assert all("somebody" not in span.line().decode() for span in found)


def test_each_traced_request_of_a_batch_has_a_span_of_the_whole_time(backend: Any, inbox: Inbox) -> None:
    served = inbox.model()
    batch = [traced(), TracedRequest({}), traced()]
    served.respond_together(batch, lambda requests: [{"y": np.zeros(1)} for _ in requests])
    found = inbox.spans()
    assert [span.name for span in found] == [served.name] * 2
    assert [span.attributes for span in found] == [{"qface.batched_requests": 3}] * 2
    assert len({span.begin for span in found}) == 1
    assert len({span.id for span in found}) == 2
