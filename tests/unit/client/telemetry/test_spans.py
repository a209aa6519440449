"""A client that traces: a span a call, one a request within it, and the header that the server joins."""

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode, TraceFlags

from qface_client import AsyncFaceClient, FaceClient, InvalidInput, ServerBusy, Timeout
from qface_client._exchange.steps import Pause, Steps
from qface_client._telemetry import spans as tracing
from tests.helpers.client_spans import Spans
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, refuse, running
from tests.helpers.paths import ROOT

PHOTO = b"a-picture-of-somebody"
SERVICE = "inference.GRPCInferenceService"
BUSY = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(contract_of(classes("mood", ["glad", "sad"])), faces=3)


@contextmanager
def traced_client(fake: FakeServer, spans: Spans, **options: Any) -> Iterator[FaceClient]:
    with running(fake) as url, FaceClient(url, tracing=spans.provider, **options) as client:
        yield client


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def header_of(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    ids = (trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id))
    return f"00-{'-'.join(ids)}-{context.trace_flags:02x}"


def is_within(child: ReadableSpan, parent: ReadableSpan) -> bool:
    context = parent.get_span_context()
    return child.parent is not None and context is not None and child.parent.span_id == context.span_id


def test_a_call_has_a_span_and_so_has_each_of_its_requests(fake: FakeServer, spans: Spans) -> None:
    stated = (("server-timing", "total;dur=12.3, queue;dur=0.4, triton;dur=11.2"),)
    fake.before_infer = lambda number, context: context.set_trailing_metadata(stated)
    with traced_client(fake, spans) as client:
        client.analyze(PHOTO, tasks=["mood"])
    call = spans.one("qface.analyze")
    config, infer = spans.one(f"{SERVICE}/ModelConfig"), spans.one(f"{SERVICE}/ModelInfer")
    assert call.parent is None
    assert call.kind is SpanKind.INTERNAL
    assert is_within(config, call)
    assert is_within(infer, call)
    found = attributes(call)
    assert found["server.address"] == "127.0.0.1"
    assert isinstance(found.pop("server.port"), int)
    assert found | {"qface.tasks": ("mood",), "qface.faces": 3, "qface.tries": 1} == found
    assert infer.kind is config.kind is SpanKind.CLIENT
    found = attributes(infer)
    assert found.pop("server.port") == attributes(call)["server.port"]
    assert found == {
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": "ModelInfer",
        "rpc.grpc.status_code": 0,
        "server.address": "127.0.0.1",
        "qface.model": "photo_analysis",
        "qface.server.total_ms": 12.3,
        "qface.server.queue_ms": 0.4,
        "qface.server.triton_ms": 11.2,
    }
    assert {span.status.status_code for span in spans.all} == {StatusCode.UNSET}


def test_each_request_carries_its_own_spans_header(fake: FakeServer, spans: Spans) -> None:
    with traced_client(fake, spans, api_key="secret") as client:
        client.analyze(PHOTO)
    sent = [metadata["traceparent"] for metadata in fake.metadata]
    assert sent == [header_of(spans.one(f"{SERVICE}/{name}")) for name in ("ModelConfig", "ModelInfer")]
    assert {metadata["authorization"] for metadata in fake.metadata} == {"Bearer secret"}


def test_a_call_belongs_to_the_trace_around_it(fake: FakeServer, spans: Spans) -> None:
    tracer = spans.provider.get_tracer("test")
    with traced_client(fake, spans) as client, tracer.start_as_current_span("around"):
        client.detect(PHOTO)
        list(client.analyze_many([PHOTO] * 3, concurrency=2))
    around = spans.one("around")
    assert is_within(spans.one("qface.detect"), around)
    photos = spans.named("qface.analyze")
    assert len(photos) == 3
    assert all(is_within(photo, around) for photo in photos)


def test_calls_of_an_asyncio_client_do_not_mix(fake: FakeServer, spans: Spans) -> None:
    async def once(url: str) -> None:
        async with AsyncFaceClient(url, tracing=spans.provider) as client:
            await asyncio.gather(*(client.analyze(PHOTO) for _ in range(4)))
            async for result in client.analyze_many([PHOTO] * 2):
                assert result.faces

    with running(fake) as url:
        asyncio.run(once(url))
    calls = spans.named("qface.analyze")
    assert len(calls) == 6
    for call in calls:
        assert sum(is_within(infer, call) for infer in spans.named(f"{SERVICE}/ModelInfer")) == 1


def test_tries_and_the_pauses_between_them_are_seen(fake: FakeServer, spans: Spans) -> None:
    fake.before_infer = refuse(2, BUSY, "too many requests", pushback="1")
    with traced_client(fake, spans) as client:
        client.analyze(PHOTO)
    call, tries = spans.one("qface.analyze"), spans.named(f"{SERVICE}/ModelInfer")
    assert [attributes(each)["rpc.grpc.status_code"] for each in tries] == [8, 8, 0]
    assert [attributes(each).get("error.type") for each in tries] == ["ServerBusy", "ServerBusy", None]
    assert tries[0].status.status_code is StatusCode.ERROR
    assert "too many requests" in (tries[0].status.description or "")
    assert [event.name for event in call.events] == ["retry", "retry"]
    assert all((event.attributes or {})["error.type"] == "ServerBusy" for event in call.events)
    assert attributes(call)["qface.tries"] == 3
    assert call.status.status_code is StatusCode.UNSET


def test_an_error_is_the_calls_status_with_its_sentence(fake: FakeServer, spans: Spans) -> None:
    fake.before_infer = refuse(99, BUSY, "too many\nrequests")
    with traced_client(fake, spans, retries=False) as client:
        with pytest.raises(ServerBusy):
            client.analyze(PHOTO)
        with pytest.raises(InvalidInput):
            client.analyze("nowhere.jpg")
    busy, unread = spans.named("qface.analyze")
    assert busy.status.status_code is unread.status.status_code is StatusCode.ERROR
    assert "(too many requests)" in (busy.status.description or "")
    assert attributes(unread)["error.type"] == "InvalidInput"
    assert "nowhere.jpg" in (unread.status.description or "")
    assert not [event for span in spans.all for event in span.events]


def test_a_call_that_is_cancelled_ends_its_spans(fake: FakeServer, spans: Spans) -> None:
    fake.before_infer = lambda number, context: asyncio.run(asyncio.sleep(0.5))

    async def once(url: str) -> None:
        async with AsyncFaceClient(url, tracing=spans.provider) as client:
            call = asyncio.create_task(client.analyze(PHOTO))
            while not fake.infers:
                await asyncio.sleep(0.01)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    with running(fake) as url:
        asyncio.run(once(url))
    for name in ("qface.analyze", f"{SERVICE}/ModelInfer"):
        assert attributes(spans.one(name))["error.type"] == "CancelledError"


def test_calls_that_are_given_up_end_each_span_once(
    fake: FakeServer, spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenTelemetry warns of what is done with a span that has ended."""
    answered = threading.Event()
    fake.before_infer = lambda number, context: answered.wait(5)

    def waits_for(infers: int) -> bool:
        return fake.infers < infers

    async def cancelled(url: str) -> None:
        async with AsyncFaceClient(url, tracing=spans.provider) as client:
            call = asyncio.create_task(client.analyze(PHOTO))
            many = client.analyze_many([PHOTO] * 3)
            first = asyncio.create_task(anext(many))
            while waits_for(4):
                await asyncio.sleep(0.01)
            call.cancel()
            first.cancel()
            await asyncio.gather(call, first, return_exceptions=True)
            call = asyncio.create_task(client.analyze(PHOTO))
            while waits_for(5):
                await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="closed"):
            await call

    with running(fake) as url:
        asyncio.run(cancelled(url))
        client = FaceClient(url, tracing=spans.provider)
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(client.analyze, PHOTO)
            while waits_for(6):
                time.sleep(0.01)
            client.close()
            with pytest.raises(RuntimeError, match="closed"):
                call.result()
        answered.set()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("opentelemetry")] == []
    assert len(spans.named(f"{SERVICE}/ModelInfer")) == len(spans.named("qface.analyze")) == 6
    assert all("error.type" in attributes(span) for span in spans.named("qface.analyze"))


@pytest.mark.parametrize("traced", [False, True])
def test_a_cancelled_pause_gives_its_place_among_the_retries_up_at_once(traced: bool) -> None:
    """The exception, which is kept here, holds the frames of the steps."""
    left: list[str] = []

    def waiting() -> Steps[None]:
        try:
            yield Pause(seconds=1.0)
        finally:
            left.append("the queue")

    steps = waiting()
    if traced:
        steps = tracing.Spans(None, url="").steps(steps)
    next(steps)
    with pytest.raises(asyncio.CancelledError) as cancelled:
        steps.throw(asyncio.CancelledError())
    assert left == ["the queue"], cancelled


def test_a_method_that_another_one_uses_has_no_span_of_its_own(fake: FakeServer, spans: Spans) -> None:
    crop = np.zeros((8, 8, 3), np.uint8)
    with traced_client(fake, spans) as client:
        client.analyze_crop(crop)
    assert [span.name for span in spans.all if span.parent is None] == ["qface.analyze_crop"]
    assert attributes(spans.one("qface.analyze_crop"))["qface.faces"] == 1


def test_a_transport_of_the_callers_own_has_spans_without_a_server(fake: FakeServer, spans: Spans) -> None:
    with (
        running(fake) as url,
        FaceClient(url) as carrying,
        FaceClient(transport=carrying._transport, tracing=spans.provider) as client,
    ):
        client.analyze(PHOTO)
    assert {span.kind for span in spans.all} == {SpanKind.INTERNAL}
    assert [span.name for span in spans.all] == ["qface.analyze", "ModelConfig", "ModelInfer"]
    assert not [name for span in spans.all for name in attributes(span) if name[:4] in ("rpc.", "serv")]


def test_what_the_program_does_not_sample_is_not_traced_by_the_server(fake: FakeServer, spans: Spans) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF)
    with running(fake) as url, FaceClient(url, tracing=provider) as client:
        client.analyze(PHOTO)
    flags = [int(metadata["traceparent"][-2:], 16) for metadata in fake.metadata]
    assert len(flags) == 2
    assert not any(each & TraceFlags.SAMPLED for each in flags)


@pytest.mark.parametrize("tracing", [None, False])
def test_without_tracing_no_header_is_sent(fake: FakeServer, tracing: bool | None) -> None:
    with running(fake) as url, FaceClient(url, tracing=tracing, timeout=Timeout(request=10)) as client:
        client.analyze(PHOTO)
    assert not [name for metadata in fake.metadata for name in metadata if name == "traceparent"]


def test_true_means_the_programs_own_provider() -> None:
    with FaceClient("localhost:1", tracing=True) as client:
        assert client._tracing is not None


def test_what_is_no_provider_is_refused() -> None:
    with pytest.raises(InvalidInput, match="TracerProvider of OpenTelemetry, not str"):
        FaceClient("localhost:1", tracing="yes")  # type: ignore[arg-type]


ALONE = """
import sys
import qface_client
client = qface_client.FaceClient("localhost:1")
assert not [name for name in sys.modules if name.startswith("opentelemetry")], "imported without need"
sys.modules["opentelemetry"] = None
try:
    qface_client.FaceClient("localhost:1", tracing=True)
except ImportError as error:
    assert "pip install 'qface-client[otel]'" in str(error), error
else:
    raise AssertionError("traced without OpenTelemetry")
"""


def test_opentelemetry_is_imported_where_it_is_wanted_and_named_where_it_is_missing() -> None:
    paths = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    subprocess.run([sys.executable, "-c", ALONE], check=True, timeout=60, env=paths)


def test_every_attribute_is_documented() -> None:
    page = (ROOT / "docs" / "client" / "observability.md").read_text()
    sources = "".join(path.read_text() for path in (ROOT / "client/qface_client/_telemetry").glob("*.py"))
    names = set(re.findall(r'"((?:qface|rpc|server|error)\.[a-z_.]+)"', sources))
    assert len(names) > 8
    assert not [name for name in names if f"`{name}`" not in page]
