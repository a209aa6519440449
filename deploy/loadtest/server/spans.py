"""SpanReceiver: takes the spans of a share of the requests, where the load test starts the gateway itself.

A collector in this process: OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/), protobuf encoding.
"""

import collections
import dataclasses
import http
import http.server
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.loadtest.server.step_names import PHASES

RATIO = 0.1  # of the requests: a traced one costs the gateway less than half a millisecond
_FEWEST = 10  # traced requests of a model that stand for all
_KEPT = 200_000  # spans
_LATE_SECONDS = 2.5  # until the last spans of a request have come
_TICK = 0.05
_MOST_BYTES = 8 * 1024 * 1024  # of a batch: the gateway's has 512 spans, of a kilobyte


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    id: bytes
    parent: bytes
    name: str
    begin: int  # nanoseconds of the wall clock
    took: int


class SpanReceiver:
    """Listens on a free port of 127.0.0.1, within a `with` block."""

    def __init__(self, *, ratio: float = RATIO) -> None:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                self.close_connection = length > _MOST_BYTES  # its body is not read
                self.send_response(
                    http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE
                    if self.close_connection
                    else receiver._take(self.rfile.read(length))
                )
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                return

        self._ratio = ratio
        self._spans: collections.deque[_Kept] = collections.deque(maxlen=_KEPT)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_TICK,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def gateway_arguments(self) -> tuple[str, ...]:
        """Options of `python -m deploy.gateway` by which its spans come here."""
        endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        return ("--otlp-endpoint", endpoint, "--trace-ratio", str(self._ratio))

    def phases(self, begin: int, end: int) -> dict[str, dict[str, float]]:
        """Of the time that a model computes, the share of each phase: model -> name -> share.

        Of what began between two times of the wall clock, in nanoseconds. A model with fewer than ten traced
        requests in that time has the shares of all before its end; with fewer than ten of those it is left
        out. Waits for up to 2.5 s where nothing has come yet; empty where nothing comes.
        """
        give_up = time.monotonic() + _LATE_SECONDS
        while not (found := self._phases(begin, end)) and time.monotonic() < give_up:
            time.sleep(_TICK)
        return found

    def _phases(self, begin: int, end: int) -> dict[str, dict[str, float]]:
        kept = [span for span in list(self._spans) if span.begin < end]
        until, within = _shares(kept), _shares([span for span in kept if begin <= span.begin])
        return {**until, **within}

    def _take(self, body: bytes) -> http.HTTPStatus:
        try:
            request = ExportTraceServiceRequest.FromString(body)
        except DecodeError:
            return http.HTTPStatus.BAD_REQUEST
        self._spans.extend(
            _Kept(
                span.span_id,
                span.parent_span_id,
                span.name,
                span.start_time_unix_nano,
                span.end_time_unix_nano - span.start_time_unix_nano,
            )
            for each in request.resource_spans
            for scope in each.scope_spans
            for span in scope.spans
        )
        return http.HTTPStatus.OK


def _shares(spans: Sequence[_Kept]) -> dict[str, dict[str, float]]:
    """Of models with enough traced requests."""
    by_id = {span.id: span for span in spans}
    sums: dict[str, dict[str, int]] = {}
    steps: dict[str, dict[bytes, int]] = {}
    for span in spans:
        if span.name in PHASES and (step := by_id.get(span.parent)) is not None:
            of_model = sums.setdefault(step.name, {})
            of_model[PHASES[span.name]] = of_model.get(PHASES[span.name], 0) + span.took
            steps.setdefault(step.name, {})[step.id] = step.took
    return {
        model: {name: took / sum(steps[model].values()) for name, took in of_model.items()}
        for model, of_model in sums.items()
        if len(steps[model]) >= _FEWEST
    }
