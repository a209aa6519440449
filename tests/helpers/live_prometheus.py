"""A Prometheus that runs on loopback, for tests: what it scrapes, which rules it has, and its answers."""

import contextlib
import http.server
import json
import re
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.helpers.tools import require_tool

_KEYWORDS = frozenset(
    ("and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset")
)
_CLAUSE = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])")


def series_named(expr: str) -> set[str]:
    """The names of the series that an expression selects."""
    bare = re.sub(r'"[^"]*"', "", expr)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    return set(_NAME.findall(_CLAUSE.sub(" ", bare))) - _KEYWORDS


class LivePrometheus:
    """`prometheus` over these targets (by job) and files of rules, looking every second.

    `shortened` replaces words in the rules, windows for example; groups are evaluated every second.
    """

    def __init__(
        self,
        folder: Path,
        *,
        targets: Mapping[str, Sequence[str]],
        rules: Sequence[Path],
        shortened: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _free_port()
        copies = folder / "rules"
        copies.mkdir(parents=True)
        for path in rules:
            text = re.sub(r"interval: \w+", "interval: 1s", path.read_text())
            for word, replacement in (shortened or {}).items():
                text = re.sub(word, replacement, text)
            (copies / path.name).write_text(text)
        scraped = [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
            for job, addresses in targets.items()
        ]
        configuration = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules/*.yaml"],
            "scrape_configs": scraped,
        }
        (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [
                require_tool("prometheus"),
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
                "--log.level=error",
            ],
            cwd=self._folder,
        )
        self.wait_until(self._is_ready, what="Prometheus is ready")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def query(self, expr: str, *, at: float | None = None) -> list[dict[str, Any]]:
        """The samples of an instant query; AssertionError with Prometheus' sentence where it is none."""
        arguments = {"query": expr} | ({} if at is None else {"time": str(at)})
        return list(self._get("query", **arguments)["result"])

    def query_range(self, expr: str, *, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series of a range query."""
        answer = self._get("query_range", query=expr, start=str(start), end=str(end), step=str(step))
        return list(answer["result"])

    def value(self, expr: str) -> float:
        """The one sample of a query; NaN where there is none."""
        found = self.query(expr)
        return float(found[0]["value"][1]) if found else float("nan")

    def names(self) -> set[str]:
        """The names of all series."""
        return set(self._get("label/__name__/values"))

    def rules(self) -> list[dict[str, Any]]:
        """Every rule as Prometheus has it, with its health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def wait_until(self, condition: Any, *, what: str, seconds: float = 60.0) -> None:
        """Until a function returns what is true; AssertionError names what did not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if condition():
                    return
            time.sleep(0.25)
        raise AssertionError(f"not within {seconds:g} s: {what}")

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "Prometheus ended"
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)

    def _get(self, place: str, **arguments: str) -> Any:
        address = f"http://127.0.0.1:{self._port}/api/v1/{place}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                content = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{arguments}: {json.load(error)['error']}") from None
        assert content["status"] == "success", content
        return content["data"]


@contextlib.contextmanager
def page_served(text: str) -> Iterator[str]:
    """Serves a text in Prometheus' format on loopback; the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # Prometheus ends in the middle of a look
                self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
