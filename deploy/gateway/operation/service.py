"""GatewayServer: a gateway with its Triton as a process of its own, started, watched and stopped from Python.

with GatewayServer(Path("var/repository")) as server:
    server.grpc_address  # "127.0.0.1:43511": every model is ready and has answered
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from build.backends import default_backend
from build.manifest import package_versions
from deploy.embedded.environment import PROJECT, SERVE_PYTHON
from deploy.embedded.errors import (
    CannotStart,
    EmbeddedServerError,
    ServerDied,
    StartCancelled,
    StartTimeout,
)
from deploy.embedded.server_log import ServerLog
from deploy.gateway.operation import reports
from deploy.gateway.operation.control import ControlError, call
from deploy.gateway.operation.failure_reports import error_of

_STOP_SECONDS = 90.0  # beyond the drain's and Triton's own times, which end before that
_TICK = 0.2  # seconds


def gateway_python() -> Path:
    """This interpreter where it has what runs engines, else the one of `.venv-serve`.

    By the versions beside it a gateway decides in which precision a repository is served: one that lacks
    them would serve in fp32 what `make serve` serves in bf16.
    """
    needed = default_backend("cpu").packages
    if SERVE_PYTHON.exists() and len(package_versions(*needed)) < len(needed):
        return SERVE_PYTHON
    return Path(sys.executable)


class GatewayServer:
    """`python -m deploy.gateway` on this machine.

    repository      an assembled repository
    *_port          0 means any free one; without a `rest_port` there is no REST
    log             where everything goes that the gateway and Triton print; None keeps the last lines only
    arguments       further options of `python -m deploy.gateway`. There is no standby unless they name one
    start_timeout   seconds until every model must be ready and have answered
    prefix          words before the gateway's command, of a program that becomes it ("unshare", "--mount"):
                    one that goes on beside it would get its signals
    environment     variables that the gateway and all that it starts get beside those of this process

    Every failure is an EmbeddedServerError with one sentence; nothing is left running by then. A gateway ends
    with the process that started it, however that ends.
    """

    def __init__(
        self,
        repository: Path | str,
        *,
        host: str = "127.0.0.1",
        grpc_port: int = 0,
        http_port: int = 0,
        rest_port: int | None = None,
        log: TextIO | None = None,
        arguments: Sequence[str] = (),
        start_timeout: float = 180.0,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._repository = Path(repository).absolute()
        self._host = host
        self._ports = {"--grpc-port": grpc_port, "--http-port": http_port}
        if rest_port is not None:
            self._ports["--rest-port"] = rest_port
        self._sink = log
        self._arguments = tuple(arguments)
        self._start_timeout = start_timeout
        self._prefix = tuple(prefix)
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._parent: socket.socket | None = None
        self._reader = reports.ReportReader()
        self._pump: threading.Thread | None = None
        self._log = ServerLog(None)
        self._folder: Path | None = None  # of the control socket
        self.grpc_address = ""
        self.http_address = ""  # of metrics and health pages
        self.rest_address = ""  # "" without REST
        self.models: tuple[str, ...] = ()

    # -- what it is -------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def supervisor_pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    @property
    def pid(self) -> int:
        """The process id of the gateway's main process, as it is now."""
        return int(self.status()["pid"])

    @property
    def triton_pid(self) -> int:
        """The process id of the tritonserver that gets requests now; 0 while none does."""
        pids = [each["pid"] for each in self.status()["tritons"] if each["active"]]
        return int(pids[0]) if pids else 0

    @property
    def log_tail(self) -> str:
        """The last lines that the gateway and Triton wrote."""
        return self._log.tail

    # -- start and stop ---------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, cancel: threading.Event | None = None, wait: bool = True) -> None:
        """Returns when every model has answered; with `wait` False, as soon as it listens.

        `cancel`, once set, calls the start off (StartCancelled).
        """
        if self.running:
            raise CannotStart("this gateway runs already: stop it first")
        self._spawn()
        try:
            self._follow_reports(until=reports.READY if wait else reports.LISTENING, cancel=cancel)
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self, *, cancel: threading.Event | None = None) -> None:
        """Returns when every model has answered, after `start(wait=False)` or the end of its process."""
        self._follow_reports(until=reports.READY, cancel=cancel)

    def stop(self) -> None:
        """Ends the gateway and all that belongs to it, in order; does nothing where none runs."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_SECONDS)
        if self._parent is not None:
            self._parent.close()  # what is left ends at once
            self._parent = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_SECONDS)
        if process.poll() is None:
            process.kill()
            process.wait()
        if self._pump is not None:
            self._pump.join(timeout=5)
        if process.stdout is not None:
            process.stdout.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def wait(self, timeout: float | None = None) -> None:
        """Raises ServerDied once the gateway has ended by itself; returns at the timeout (seconds)."""
        if self._process is None:
            raise EmbeddedServerError("this gateway was not started")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=timeout)
            raise self._died()

    # -- commands ---------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """See `ControlMethods.status`; ControlError while the main process is not there."""
        return call(self._control, "status", timeout=60)

    def swap(self, repository: Path) -> dict[str, Any]:
        """Serves another repository; ControlError with the sentence where it can't."""
        return call(self._control, "swap", repository=str(repository.absolute()))

    def rollback(self) -> dict[str, Any]:
        """Serves again what was served before."""
        return call(self._control, "rollback")

    def reload(self) -> dict[str, Any]:
        """Reads keys again, opens log files anew."""
        return call(self._control, "reload", timeout=60)

    # -- within -----------------------------------------------------------------------------------

    @property
    def _control(self) -> Path:
        if self._folder is None:
            raise ControlError("this gateway was not started", status=2)
        return self._folder / "control"

    def _spawn(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="qface-gateway-"))
        self._log = ServerLog(self._sink)
        self._reader = reports.ReportReader()
        self._parent, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *self._prefix,
                    *(str(gateway_python()), "-m", "deploy.gateway"),
                    *("--repository", str(self._repository)),
                    *("--host", self._host, "--start-timeout", str(self._start_timeout)),
                    *(word for flag, port in self._ports.items() for word in (flag, str(port))),
                    *(() if "--rest-port" in self._ports else ("--no-rest",)),
                    *("--control", str(self._control), "--parent", str(theirs.fileno())),
                    *("--standby", "never", *self._arguments),
                ],
                cwd=PROJECT,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C reaches this process only, which then ends things in order
            )
        assert self._process.stdout is not None
        self._pump = threading.Thread(
            target=self._log.follow, args=(self._process.stdout,), name="gateway-log", daemon=True
        )
        self._pump.start()

    def _follow_reports(self, *, until: str, cancel: threading.Event | None) -> None:
        assert self._parent is not None
        deadline = time.monotonic() + self._start_timeout + _STOP_SECONDS
        self._parent.settimeout(_TICK)
        while time.monotonic() < deadline:
            if cancel is not None and cancel.is_set():
                raise StartCancelled("stopped before the gateway was ready")
            try:
                data = self._parent.recv(65536)
            except TimeoutError:
                continue
            if not data:
                raise self._died()
            seen = set()
            for report in self._reader.feed(data):
                self._take(report)
                seen.add(report["report"])
            if until in seen or reports.READY in seen:
                return
        raise StartTimeout(f"the gateway was not ready within {self._start_timeout:.0f} s: see its log")

    def _take(self, report: dict[str, Any]) -> None:
        if report["report"] == reports.FAILED:
            raise error_of(report)
        if report["report"] == reports.LISTENING:
            self.grpc_address, self.http_address = report["grpc_address"], report["http_address"]
            self.rest_address = report["rest_address"]
        if report["report"] == reports.READY:
            self.models = tuple(report["models"])

    def _died(self) -> ServerDied:
        assert self._process is not None
        status = self._process.wait()
        if self._pump is not None:
            self._pump.join(timeout=5)
        last = next((line for line in reversed(self._log.tail.splitlines()) if line.strip()), "nothing")
        return ServerDied(f"the gateway ended with status {status}; its last line was: {last}", status=status)
