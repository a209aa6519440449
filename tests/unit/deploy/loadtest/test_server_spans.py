"""Spans of traced requests, as the gateway's own exporter sends them."""

import http.client
import time
from collections.abc import Iterator, Sequence

import pytest

from deploy.gateway.tracing.otlp import Otlp
from deploy.loadtest.server.spans import SpanReceiver
from runtime.answering.photos import CROP, DECODE, DETECT, ENGINE
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


def test_a_phase_has_its_share_of_the_time_of_its_model(receiver: SpanReceiver) -> None:
    found, nobody = (
        {DECODE: 2, DETECT: 20, CROP: 8, ENGINE: 50},  # 80 ms
        {DECODE: 4, DETECT: 16},  # 20 ms
    )
    spans = [span for _ in range(5) for each in (found, nobody) for span in request_spans(BEGIN, **each)]
    post(receiver, spans[:7])  # a batch ends anywhere
    post(receiver, spans[7:])
    assert receiver.phases(BEGIN, BEGIN + 10**9) == {
        MODEL: {"decode": pytest.approx(0.06), "find": pytest.approx(0.36), "crop": pytest.approx(0.08)}
    }


def test_a_few_requests_do_not_stand_for_all(receiver: SpanReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    post(receiver, [span for _ in range(9) for span in request_spans(BEGIN, **{DECODE: 2})])
    monkeypatch.setattr(time, "monotonic", iter(range(9)).__next__)
    assert receiver.phases(BEGIN, BEGIN + 10**9) == {}


def test_what_began_before_or_after_is_left_out(receiver: SpanReceiver) -> None:
    for second, took in enumerate((90, 5, 90)):
        for _ in range(10):
            post(receiver, request_spans(BEGIN + second * 10**9, **{DECODE: took, ENGINE: 5}))
    assert receiver.phases(BEGIN + 10**9, BEGIN + 2 * 10**9) == {MODEL: {"decode": pytest.approx(0.5)}}


def test_where_a_stage_has_few_those_before_it_count_too(receiver: SpanReceiver) -> None:
    for second, (requests, took) in enumerate([(12, 15), (4, 5), (12, 90)]):
        for _ in range(requests):
            post(receiver, request_spans(BEGIN + second * 10**9, **{DECODE: took, ENGINE: took}))
    assert receiver.phases(BEGIN + 10**9, BEGIN + 2 * 10**9) == {MODEL: {"decode": pytest.approx(0.5)}}
    assert receiver.phases(BEGIN, BEGIN + 1) == {MODEL: {"decode": pytest.approx(0.5)}}


def test_spans_that_come_late_are_waited_for_and_none_are_no_error(
    receiver: SpanReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            post(receiver, [span for _ in range(10) for span in request_spans(BEGIN, **{DECODE: 5})])

    monkeypatch.setattr(time, "sleep", sleep)
    assert receiver.phases(BEGIN, BEGIN + 10**9)
    assert len(slept) == 3
    monkeypatch.setattr(time, "monotonic", iter(range(9)).__next__)
    assert receiver.phases(0, BEGIN) == {}


@pytest.mark.parametrize(
    ("body", "length", "status"),
    [
        (b"\xff\xff\xff", 3, http.HTTPStatus.BAD_REQUEST),
        (b"", 2**40, http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ],
)
def test_what_is_no_batch_of_spans_is_refused(
    receiver: SpanReceiver, body: bytes, length: int, status: http.HTTPStatus
) -> None:
    address = receiver.gateway_arguments[1].removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("POST", "/v1/traces", body=body, headers={"Content-Length": str(length)})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == status
    connection.close()
