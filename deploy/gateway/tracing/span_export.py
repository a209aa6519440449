"""SpanExport: takes spans from all processes of a gateway, and sends them to a collector.

A thread of its own sends them, in batches. Nothing waits for it: what it does not get rid of is dropped and
counted, be the collector slow, away, or never there.
"""

import asyncio
import collections
import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path

from deploy.embedded.errors import CannotStart
from deploy.gateway.options import Tracing
from deploy.gateway.tracing.request_trace import Traces
from runtime.spans import SOCKET, Span, read_line

_WAITING = 4096  # spans, of about a kilobyte each
_BATCH = 512
_PAUSE_SECONDS = 1.0  # between batches that are not full
_LAST_SECONDS = 2.0  # at the end, for what waits
_LOG_SECONDS = 60.0  # between two sentences
_LINE_BYTES = 16 * 1024
_SERVICE = "q-face"


class SpanExport:
    """Of the main process: a queue, the socket through which other processes fill it, and its thread.

    socket   where other processes bring theirs; nobody but this user may reach it
    log      gets a sentence when the collector takes nothing, and when it does again
    traces   for the front of this process
    """

    def __init__(self, options: Tracing, *, socket: Path, log: Callable[[str], None]) -> None:
        """CannotStart where what speaks to a collector is not installed."""
        try:  # late, as only who traces needs it
            from deploy.gateway.tracing.otlp import Otlp, OtlpError
        except ImportError as error:
            raise CannotStart(
                f"--otlp-endpoint needs the package opentelemetry-proto ({error}): "
                "`make .venv-serve` installs it"
            ) from error
        assert options.otlp_endpoint is not None
        self._endpoint = options.otlp_endpoint
        self.traces = Traces(self.take, ratio=options.trace_ratio)
        resource = {"service.name": _SERVICE, "service.instance.id": f"{platform.node()}-{os.getpid()}"}
        self._otlp = Otlp(self._endpoint, resource=resource)
        self._error = OtlpError
        self._log = log
        self._log_at = 0.0
        self._failing = False
        self._waiting: collections.deque[Span] = collections.deque()
        self._dropped_before = 0  # in this process, before they were tried
        self._failed = 0  # in the thread
        self._exported = 0
        self._wake = threading.Event()
        self._stop_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._socket = socket
        self._server: asyncio.Server | None = None

    @property
    def exported(self) -> int:
        """Spans that the collector took."""
        return self._exported

    @property
    def dropped(self) -> int:
        """Spans that it did not get, or did not take."""
        return self._dropped_before + self._failed

    async def start(self) -> None:
        """Takes spans from now on, and lets processes that this one starts find the socket for theirs.

        CannotStart where the socket can't be made.
        """
        try:
            self._server = await asyncio.start_unix_server(self._read, self._socket, limit=_LINE_BYTES)
        except OSError as error:
            raise CannotStart(
                f"the socket {self._socket} for traces can't be made ({error}): name another place with "
                "--control"
            ) from error
        os.environ[SOCKET] = str(self._socket)
        self._thread.start()

    def take(self, span: Span) -> None:
        """Takes one span; returns at once, whatever becomes of it."""
        if len(self._waiting) >= _WAITING or self._stop_at is not None:
            self._dropped_before += 1
            return
        self._waiting.append(span)
        if len(self._waiting) >= _BATCH:
            self._wake.set()

    async def stop(self) -> None:
        """Sends what waits, for two seconds at most, and ends."""
        if self._server is None:
            return
        self._server.close()
        self._stop_at = time.monotonic() + _LAST_SECONDS
        self._wake.set()
        await asyncio.to_thread(self._thread.join, _LAST_SECONDS)
        os.environ.pop(SOCKET, None)
        self._socket.unlink(missing_ok=True)

    # -- within -------------------------------------------------------------------------------------

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes the spans of one process, until it ends."""
        with contextlib.closing(writer):
            while True:
                try:
                    line = await reader.readuntil()
                    found = read_line(line)
                except asyncio.IncompleteReadError:
                    return
                except (ValueError, asyncio.LimitOverrunError, OSError):
                    self._dropped_before += 1
                    return  # it is no process of ours, or one that has lost its way; ours connect again
                if isinstance(found, int):
                    self._dropped_before += found
                else:
                    self.take(found)

    def _run(self) -> None:
        while self._stop_at is None:
            self._wake.wait(_PAUSE_SECONDS)
            self._wake.clear()
            self._send_all()
        self._send_all()
        self._otlp.close()

    def _send_all(self) -> None:
        while self._waiting and (self._stop_at is None or time.monotonic() < self._stop_at):
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            try:
                taken = self._otlp.post(batch)
            except self._error as error:
                self._failed += len(batch)
                self._report(str(error))
            except Exception as error:  # a span that no message can hold, say: the others go on
                self._failed += len(batch)
                self._report(f"{type(error).__name__}: {error}")
            else:
                self._exported += taken
                self._failed += len(batch) - taken
                if self._failing:
                    self._failing = False
                    self._log(f"the collector {self._endpoint} takes spans again")

    def _report(self, why: str) -> None:
        self._failing = True
        if (now := time.monotonic()) >= self._log_at:
            self._log_at = now + _LOG_SECONDS
            self._log(
                f"the collector {self._endpoint} takes no spans ({why}): they are dropped and counted until "
                "it does; requests go on"
            )


def span_export(options: Tracing, *, socket: Path, log: Callable[[str], None]) -> SpanExport | None:
    """None where no collector is named; then no process that this one starts sends spans either."""
    if options.otlp_endpoint is None:
        os.environ.pop(SOCKET, None)
        return None
    return SpanExport(options, socket=socket, log=log)
