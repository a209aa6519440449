"""The way of spans to a collector: in order, bounded, and nobody's trouble where it is away."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.errors import CannotStart
from deploy.gateway.options import Tracing
from deploy.gateway.tracing import otlp, span_export
from deploy.gateway.tracing.span_export import SpanExport
from runtime.spans import INTERNAL, SOCKET, Span, SpanSender, new_id
from tests.helpers.paths import ROOT
from tests.helpers.span_collector import SpanCollector, attributes_of


def span(name: str = "decode", error: str = "") -> Span:
    return Span(new_id(16), new_id(8), new_id(8), name, INTERNAL, 17, 42, error, {"n": 3, "x": 0.5, "w": "y"})


def exporting(
    endpoint: str, talk: Callable[[SpanExport], Coroutine[Any, Any, None]]
) -> tuple[SpanExport, list[str]]:
    """What is left of an export, and what it logged, after `talk` and its stop."""
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "spans"
        export = SpanExport(Tracing(otlp_endpoint=endpoint), socket=place, log=lines.append)

        async def once() -> None:
            await export.start()
            await asyncio.wait_for(talk(export), timeout=30)
            await export.stop()

        asyncio.run(once())
        assert not place.exists()
    return export, lines


def test_spans_of_this_process_and_of_others_arrive_whole() -> None:
    own, others = span("own"), span("other's", error="INTERNAL")

    async def talk(export: SpanExport) -> None:
        export.take(own)
        with contextlib.closing(SpanSender(os.environ[SOCKET])) as sender:
            sender.send(others)
            while len(export._waiting) + export.exported < 2:
                await asyncio.sleep(0.01)

    with SpanCollector().listening() as collector:
        export, lines = exporting(collector.endpoint, talk)
        assert SOCKET not in os.environ
        first, second = sorted(collector.spans, key=lambda each: each.name, reverse=True)
        assert (first.name, second.name) == ("own", "other's")
        assert first.trace_id.hex() == own.trace
        assert (first.span_id.hex(), first.parent_span_id.hex()) == (own.id, own.parent)
        assert (first.start_time_unix_nano, first.end_time_unix_nano) == (17, 42)
        assert attributes_of(first) == {"n": 3, "x": 0.5, "w": "y"}
        assert (first.status.code, second.status.code, second.status.message) == (0, 2, "INTERNAL")
        assert collector.resources[0]["service.name"] == "q-face"
    assert (export.exported, export.dropped, lines) == (2, 0, [])


def test_what_a_collector_rejects_counts_as_dropped() -> None:
    async def talk(export: SpanExport) -> None:
        for _ in range(3):
            export.take(span())

    with SpanCollector().listening() as collector:
        collector.rejected = 2
        export, _ = exporting(collector.endpoint, talk)
    assert (export.exported, export.dropped) == (1, 2)


def test_a_collector_that_ends_idle_connections_loses_nothing() -> None:
    async def talk(export: SpanExport) -> None:
        for count in (1, 2, 3):
            export.take(span())
            export._wake.set()
            while export.exported < count:
                await asyncio.sleep(0.01)

    with SpanCollector().listening() as collector:
        collector.hangs_up = True
        export, lines = exporting(collector.endpoint, talk)
    assert (export.exported, export.dropped, lines) == (3, 0, [])


def test_a_socket_that_can_not_be_made_is_a_sentence(tmp_path: Path) -> None:
    for place in (tmp_path / "absent" / "spans", tmp_path / ("x" * 120)):
        export = SpanExport(Tracing(otlp_endpoint="http://collector:4318"), socket=place, log=print)
        with pytest.raises(CannotStart, match="name another place with --control"):
            asyncio.run(export.start())


def test_a_collector_that_is_away_costs_its_spans_and_one_line_of_the_log() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]

    async def talk(export: SpanExport) -> None:
        for _ in range(2 * span_export._BATCH):
            export.take(span())
        while export.dropped < 2 * span_export._BATCH:
            await asyncio.sleep(0.01)

    export, lines = exporting(f"http://127.0.0.1:{port}", talk)
    assert (export.exported, export.dropped) == (0, 2 * span_export._BATCH)
    (line,) = lines
    assert "takes no spans (Connection refused)" in line


def test_a_collector_that_does_not_answer_holds_up_neither_requests_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp, "_SECONDS", 60.0)
    monkeypatch.setattr(span_export, "_LAST_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # which accepts, and says nothing

        async def talk(export: SpanExport) -> None:
            for _ in range(span_export._BATCH):
                export.take(span())
            while export._waiting:  # the thread has them, and waits
                await asyncio.sleep(0.01)
            for _ in range(2 * span_export._WAITING):
                export.take(span())
            assert len(export._waiting) == span_export._WAITING
            assert export.dropped == span_export._WAITING

        began = time.monotonic()
        exporting(f"http://127.0.0.1:{silent.getsockname()[1]}", talk)
        assert time.monotonic() - began < 55  # not until the collector's time is up


def test_lines_that_are_none_of_ours_end_their_connection_alone() -> None:
    async def talk(export: SpanExport) -> None:
        reader, writer = await asyncio.open_unix_connection(os.environ[SOCKET])
        writer.write(b"{}\n")
        assert await reader.read() == b""
        writer.close()
        _, endless = await asyncio.open_unix_connection(os.environ[SOCKET])
        endless.write(b"x" * 100_000)
        with contextlib.closing(SpanSender(os.environ[SOCKET])) as sender:
            sender.send(span())
            while len(export._waiting) + export.exported < 1 or export.dropped < 2:
                await asyncio.sleep(0.01)
        endless.close()

    with SpanCollector().listening() as collector:
        export, _ = exporting(collector.endpoint, talk)
    assert (export.exported, export.dropped) == (1, 2)


def test_a_path_of_the_endpoint_stands_before_that_of_traces() -> None:
    assert otlp.Otlp("https://collector:4318/prefix/", resource={})._path == "/prefix/v1/traces"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"otlp_endpoint": "collector:4318"}, "--otlp-endpoint is a URL"),
        ({"otlp_endpoint": "grpc://collector:4317"}, "--otlp-endpoint is a URL"),
        ({"otlp_endpoint": "http://user:word@collector"}, "without a password"),
        ({"otlp_endpoint": "http://collector:99999"}, "--otlp-endpoint has a port that can't be"),
        ({"trace_ratio": 1.5}, "--trace-ratio is a share of 0 to 1"),
        ({"trace_ratio": float("nan")}, "--trace-ratio is a share of 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Tracing(**options)


def test_without_a_collector_there_is_no_export_and_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOCKET, "/of/another/gateway")
    threads = threading.active_count()
    assert span_export.span_export(Tracing(), socket=Path("spans"), log=print) is None
    assert SOCKET not in os.environ
    assert threading.active_count() == threads


def test_what_serves_imports_nothing_of_opentelemetry_until_it_traces() -> None:
    modules = (
        "deploy.gateway.operation.main_process, deploy.gateway.operation.workers.front_process, "
        "deploy.gateway.rest.front, deploy.gateway.tracing.span_export"
    )
    code = f"import sys, {modules}; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
