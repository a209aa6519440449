"""Spans of traced requests, as the gateway's own exporter sends them."""

import http.client
import time
from collections.abc import Iterator, Sequence

import pytest

from deploy.gateway.tracing.otlp import Otlp
from deploy.loadtest.server.spans import SpanReceiver
from runtime.serving.step_spans import CROP, DECODE, DETECT, ENGINE
from runtime.spans import INTERNAL, Context, Span, new_id

BEGIN = 1_000_000_000_000  # nanoseconds
MODEL = "photo_analysis"


@pytest.fixture
def receiver() -> Iterator[SpanReceiver]:
    with SpanReceiver(ratio=0.5) as listening:
        yield listening


def request_spans(begin: int, **milliseconds: int) -> list[Span]:
    """Of one request to the model: its phases, as they end, and the model's own span."""
    whole = Context(new_id(16), new_id(8))
    spans, at = [], begin
    for name, took in milliseconds.items():
        own = whole.child()
        spans.append(Span(own.trace, own.span, whole.span, name, INTERNAL, at, at + took * 10**6, "", {}))
        at += took * 10**6
    return [*spans, Span(whole.trace, whole.span, new_id(8), MODEL, INTERNAL, begin, at, "", {})]


def post(receiver: SpanReceiver, spans: Sequence[Span]) -> None:
    option, endpoint, *_ = receiver.gateway_arguments
    assert option == "--otlp-endpoint"
    exporter = Otlp(endpoint, resource={"service.name": "q-face"})
    assert exporter.post(spans) == len(spans)
    exporter.close()


def test_a_phase_has_its_mean_over_the_requests_of_its_model(receiver: SpanReceiver) -> None:
    post(receiver, request_spans(BEGIN, **{DECODE: 2, DETECT: 20, CROP: 1, ENGINE: 50}))
    later = request_spans(BEGIN + 10**9, **{DECODE: 4, DETECT: 30, ENGINE: 60})
    post(receiver, later[:2])  # a batch ends anywhere
    post(receiver, later[2:])
    assert receiver.phases(BEGIN, BEGIN + 2 * 10**9) == {
        MODEL: {"decode": pytest.approx(3), "find": pytest.approx(25), "crop": pytest.approx(0.5)}
    }


def test_what_began_before_or_after_is_left_out(receiver: SpanReceiver) -> None:
    for second, took in enumerate((90, 5, 90)):
        post(receiver, request_spans(BEGIN + second * 10**9, **{DECODE: took}))
    assert receiver.phases(BEGIN + 10**9, BEGIN + 2 * 10**9) == {MODEL: {"decode": pytest.approx(5)}}


def test_spans_that_come_late_are_waited_for_and_none_are_no_error(
    receiver: SpanReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            post(receiver, request_spans(BEGIN, **{DECODE: 5}))

    monkeypatch.setattr(time, "sleep", sleep)
    assert receiver.phases(BEGIN, BEGIN + 10**9)
    assert len(slept) == 3
    monkeypatch.setattr(time, "monotonic", iter(range(9)).__next__)
    assert receiver.phases(BEGIN + 10**9, BEGIN + 2 * 10**9) == {}


def test_what_is_no_batch_of_spans_is_refused(receiver: SpanReceiver) -> None:
    address = receiver.gateway_arguments[1].removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("POST", "/v1/traces", body=b"\xff\xff\xff")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == http.HTTPStatus.BAD_REQUEST
    connection.close()
