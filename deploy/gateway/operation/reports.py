"""Reports: what a gateway's process tells its parent through a pipe, one JSON object a line.

The main process reports to the supervisor, and the supervisor passes on, to whoever started it with
`--parent FD`, everything but the heartbeats.

    {"report": "alive"}                                       once a second
    {"report": "listening", "grpc_address": "127.0.0.1:8001", "http_address": "127.0.0.1:8002",
     "rest_address": "127.0.0.1:8000"}
    {"report": "ready", "models": ["age", ...]}               the first Triton answers
    {"report": "failed", "error": "PortTaken", "sentence": "port 8001 ..."}
"""

import contextlib
import json
import os
from typing import Any

ALIVE, LISTENING, READY, FAILED = "alive", "listening", "ready", "failed"


class Reporter:
    """Writes reports into a file descriptor; None writes nowhere."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def send(self, report: str, **fields: Any) -> None:
        """Writes one report. A parent that is gone, or does not read, does not matter here."""
        if self._descriptor is None:
            return
        line = json.dumps({"report": report, **fields}).encode() + b"\n"
        with contextlib.suppress(OSError):
            os.write(self._descriptor, line)


class ReportReader:
    """Takes reports out of the bytes that a pipe gives."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The reports that are whole with `data`; a line that is none is left out."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        reports = []
        for line in lines:
            with contextlib.suppress(ValueError):
                report = json.loads(line)
                if isinstance(report, dict) and "report" in report:
                    reports.append(report)
        return reports
