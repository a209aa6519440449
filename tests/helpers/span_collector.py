"""A collector of traces in the test's own process, which takes OTLP over HTTP."""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE = 30.0  # seconds for spans to arrive


class SpanCollector:
    """Keeps what it is sent; set `status` and `rejected` to what it is to answer.

    hangs_up   it ends each connection after an answer, without a word of it
    bodies     each request as it came
    """

    def __init__(self, port: int = 0) -> None:
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = collector._take(self.path, str(self.headers["Content-Type"]), body)
                self.send_response(collector.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                self.close_connection = collector.hangs_up

            def log_message(self, format: str, *arguments: object) -> None:
                return

        self.status = 200
        self.rejected = 0
        self.hangs_up = False
        self.bodies: list[bytes] = []
        self.resources: list[Mapping[str, Any]] = []
        self._spans: list[Span] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Span]:
        """All that came by now."""
        return list(self._spans)

    def of_trace(self, trace: str, *names: str) -> dict[str, Span]:
        """The spans of a trace by name, once those of these names have come."""
        end = time.monotonic() + PATIENCE
        while True:
            found = {span.name: span for span in self.spans if span.trace_id.hex() == trace}
            if found.keys() >= set(names):
                return found
            assert time.monotonic() < end, f"of {names} only {sorted(found)} came"
            time.sleep(0.02)

    @contextlib.contextmanager
    def listening(self) -> Iterator["SpanCollector"]:
        """Takes requests while the block runs; then its port is closed."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _take(self, path: str, content_type: str, body: bytes) -> bytes:
        assert (path, content_type) == ("/v1/traces", "application/x-protobuf")
        self.bodies.append(body)
        if self.status == 200:
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(attributes_of(each.resource))
                self._spans += [span for scope in each.scope_spans for span in scope.spans]
        answer = ExportTraceServiceResponse(partial_success={"rejected_spans": self.rejected})
        return bytes(answer.SerializeToString())


def attributes_of(message: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in message.attributes}
