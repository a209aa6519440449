"""EmbeddedServer: start, watch and stop one Triton server."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from deploy.embedded import ports, process_guard
from deploy.embedded.assembled_repository import Repository, RepositoryUse, open_repository
from deploy.embedded.endpoints import SocketEndpoints, TcpEndpoints, private_endpoints
from deploy.embedded.environment import PROJECT
from deploy.embedded.errors import (
    CannotStart,
    EmbeddedServerError,
    PortTaken,
    ServerDied,
    StartCancelled,
    StartTimeout,
)
from deploy.embedded.host_check import check_host, check_room
from deploy.embedded.installations import triton_in
from deploy.embedded.process_environment import process_environment
from deploy.embedded.process_priority import raise_priority
from deploy.embedded.server_command import server_command
from deploy.embedded.server_log import ServerLog

_GUARD = Path(__file__).with_name("process_guard.py")
_ATTEMPTS = 3  # a port that was free may be gone when the server binds it
_TICK = 0.05  # seconds


class EmbeddedServer:
    """A Triton server over an assembled repository, on this machine.

    repository      an assembled repository: the folder that holds `models/` and `lib/`
    host            the address to listen on
    *_port          0 means any free port; http_port None: no HTTP
    sockets         a folder, made where it is missing, for unix sockets in place of host and ports: only
                    this user may enter it, there is no HTTP, and it is removed when the server ends
    triton          the folder of an installed Triton (default: the one of the wheel nvidia-pytriton)
    python          the Python whose environment carries the models (default: this one, else `.venv-serve`)
    cache           folder for the runnable copy of the server
    log             where the server's log goes; None keeps only its last lines (`log_tail`)
    config_name     which of each model's configs/ to prefer (default: on a CPU the one for it, else none)
    start_timeout   seconds until every model must be ready and have answered
    grace           seconds that in-flight requests have at the end, before the server is killed
    niceness        added to that of this process: what loads beside a server at work shall not slow it
    arguments       further options for tritonserver, with absolute paths

    Every failure is an EmbeddedServerError with one sentence; nothing is left running by then.
    """

    def __init__(
        self,
        repository: Path | str,
        *,
        host: str = "127.0.0.1",
        grpc_port: int = 0,
        http_port: int | None = None,
        metrics_port: int = 0,
        sockets: Path | None = None,
        triton: Path | None = None,
        python: Path | None = None,
        cache: Path | None = None,
        log: TextIO | None = None,
        log_prefix: str = "",
        config_name: str | None = None,
        start_timeout: float = 180.0,
        grace: float = 20.0,
        niceness: int = 0,
        arguments: Sequence[str] = (),
    ) -> None:
        self._repository_folder = Path(repository)
        self._wanted = ports.Ports(grpc=grpc_port, http=http_port, metrics=metrics_port)
        self._host = host
        self._sockets = sockets.absolute() if sockets is not None else None
        self._triton = triton_in(triton)
        self._python = python
        self._cache = PROJECT / "var" if cache is None else cache.absolute()
        self._sink = log
        self._log_prefix = log_prefix
        self._config_name = config_name
        self._start_timeout = start_timeout
        self._grace = grace
        self._niceness = niceness
        self._arguments = tuple(arguments)
        self._endpoints: TcpEndpoints | SocketEndpoints = TcpEndpoints(host=host, ports=self._wanted)
        self._use: RepositoryUse | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._pump: threading.Thread | None = None
        self._log = ServerLog(None)
        self._shm_prefix = _shm_prefix()
        self.models: tuple[str, ...] = ()
        self.on_gpu = False  # whether engines of it are on GPUs

    # -- what it is -------------------------------------------------------------------------------

    @property
    def grpc_address(self) -> str:
        """host:port or unix:path for gRPC clients."""
        return self._endpoints.grpc_address

    @property
    def http_address(self) -> str:
        """host:port for HTTP clients; EmbeddedServerError where HTTP is off."""
        return self._endpoints.http_address

    @property
    def speaks_http(self) -> bool:
        return self._sockets is None and self._wanted.http is not None

    @property
    def metrics_address(self) -> str:
        """host:port or unix:path of the Prometheus page /metrics."""
        return self._endpoints.metrics_address

    @property
    def pid(self) -> int:
        """The process id of tritonserver itself, and the group of it and its stubs."""
        return self._pid

    @property
    def guard_pid(self) -> int:
        """The process id of the server's parent; 0 where none was started."""
        return self._guard.pid if self._guard is not None else 0

    @property
    def log_tail(self) -> str:
        """The last lines that the server wrote."""
        return self._log.tail

    @property
    def running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    def at_normal_priority(self) -> None:
        """Take back `niceness`; where that is not allowed, the server stays slow. Needs it running."""
        if self._niceness:
            raise_priority(self._pid)
            self._niceness = 0

    # -- start and stop ---------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self,
        *,
        cancel: threading.Event | None = None,
        announce: Callable[["EmbeddedServer"], None] | None = None,
    ) -> None:
        """Return when every model is ready and the canaries were answered.

        `cancel`, once set, calls the start off (StartCancelled). `announce` is called when the
        addresses are known and the server is loading.
        """
        if self.running:
            raise CannotStart("this server runs already: stop it first")
        check_host()
        folder = self._repository_folder.resolve()
        if folder.exists():
            self._use = RepositoryUse(folder)
        try:
            repository = open_repository(folder, serves_gpus=self._triton.serves_gpus)
            self._start(repository, cancel=cancel or threading.Event(), announce=announce)
        except BaseException:
            self._release()
            raise

    def _start(
        self,
        repository: Repository,
        *,
        cancel: threading.Event,
        announce: Callable[["EmbeddedServer"], None] | None,
    ) -> None:
        self.models, self.on_gpu = repository.names, repository.on_gpu
        config_name = self._config_name or repository.config_name
        check_room(repository.models, config_name=config_name)
        for attempt in range(1, _ATTEMPTS + 1):
            self._endpoints = self._settle()
            triton = self._triton.prepare(self._python, cache=self._cache)
            try:
                self._shm_prefix = _shm_prefix()
                command = server_command(
                    triton,
                    models=repository.models,
                    config_name=config_name,
                    gpu_metrics=repository.on_gpu,
                    shm_prefix=self._shm_prefix,
                    grace=self._grace,
                )
                self._spawn(
                    [*command, *self._endpoints.arguments(), *self._arguments],
                    variables=process_environment(triton, library=repository.library),
                    library=repository.library,
                )
                if announce is not None:
                    announce(self)
                self._wait_until_answering(cancel)
            except BaseException as error:
                self.kill()  # nothing is in flight that an ordered end could answer
                self.stop()
                process_guard.remove_shared_memory(self._shm_prefix)  # where not even the guard came to be
                given = any(self._wanted.by_use().values())
                if isinstance(error, PortTaken) and not given and attempt < _ATTEMPTS:
                    continue
                raise
            return

    def kill(self) -> None:
        """End the server at once, frozen or not, with what it has in flight; `stop` waits for the rest."""
        guard = self._guard
        if guard is None:
            return
        if guard.poll() is None:
            self._kill_group()
        with contextlib.suppress(ProcessLookupError):
            guard.send_signal(signal.SIGCONT)  # a frozen guard would not remove what is left

    def stop(self) -> None:
        """End the server and all that belongs to it; do nothing where none runs."""
        guard, self._guard = self._guard, None
        if guard is None:
            self._release()
            return
        guard.send_signal(signal.SIGTERM)  # nothing happens where it has ended
        for stream in (guard.stdin, guard.stdout):
            if stream is not None:
                stream.close()
        try:
            guard.wait(timeout=self._grace + 15)
        except subprocess.TimeoutExpired:
            guard.kill()  # the server has PR_SET_PDEATHSIG and goes with it
            guard.wait()
        if guard.returncode < 0:  # killed, and the models' processes do not go with the server
            self._kill_group()
        if self._pump is not None:
            self._pump.join(timeout=5)
        if guard.stderr is not None and not (self._pump is not None and self._pump.is_alive()):
            guard.stderr.close()  # while it is being read, this would wait for the reader
        process_guard.remove_shared_memory(self._shm_prefix)
        process_guard.remove_sockets(str(self._sockets or ""))
        self._release()

    def wait(self, timeout: float | None = None) -> None:
        """Raise ServerDied once the server has ended by itself; return at the timeout (seconds)."""
        guard = self._guard
        if guard is None:
            raise EmbeddedServerError("this server was not started")
        with contextlib.suppress(subprocess.TimeoutExpired):
            guard.wait(timeout=timeout)
            raise self._died()

    def _kill_group(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)

    # -- within -----------------------------------------------------------------------------------

    def _settle(self) -> TcpEndpoints | SocketEndpoints:
        if self._sockets is not None:
            return private_endpoints(self._sockets)
        return TcpEndpoints(host=self._host, ports=ports.settle(self._wanted, host=self._host))

    def _release(self) -> None:
        use, self._use = self._use, None
        if use is not None:
            use.release()

    def _spawn(self, command: Sequence[str], *, variables: dict[str, str], library: Path) -> None:
        self._log = ServerLog(self._sink, prefix=self._log_prefix)
        guard = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", str(_GUARD)),
                *(
                    str(self._grace),
                    str(self._niceness),
                    self._shm_prefix,
                    str(self._sockets or ""),
                    *command,
                ),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=variables,
            # The stubs' Python looks into its working directory first, and may not look at PYTHONPATH.
            cwd=library,
            start_new_session=True,  # Ctrl-C reaches the launcher only, which then ends things in order
        )
        self._guard = guard
        assert guard.stdout is not None
        assert guard.stderr is not None
        self._pump = threading.Thread(
            target=self._log.follow, args=(guard.stderr,), name="triton-log", daemon=True
        )
        self._pump.start()
        readable, _, _ = select.select([guard.stdout], [], [], 30)
        word, _, number = (guard.stdout.readline() if readable else b"").decode().partition(" ")
        if word != "pid":
            self._pump.join(timeout=2)
            raise CannotStart(
                f"the server's guard did not start: {self._log.tail.strip() or 'it printed nothing'}"
            )
        self._pid = int(number)

    def _wait_until_answering(self, cancel: threading.Event) -> None:
        # Imported late: to check the host, nothing needs to be installed.
        from deploy.embedded import readiness

        deadline = time.monotonic() + self._start_timeout
        missing = list(self.models)

        def go_on(doing: str) -> None:
            if cancel.is_set():
                raise StartCancelled("stopped before the server was ready")
            if hopeless := self._log.hopeless:
                raise hopeless
            if not self.running:
                raise self._died(starting=True)
            if self._use is not None:
                # Triton waits for ever for a model's process that did not find its files.
                self._use.check()
            process_guard.restrict_shared_memory(self._shm_prefix)
            if time.monotonic() > deadline:
                raise StartTimeout(
                    f"not ready within {self._start_timeout:.0f} s, still {doing}: see the server's log"
                )
            time.sleep(_TICK)

        # gRPC comes up after the models; asking before would only make its channel back off.
        while not self._endpoints.is_open():
            go_on(f"loading {', '.join(missing)}")
        client = readiness.connect(self.grpc_address)
        try:
            while missing := [name for name in missing if not readiness.is_ready(client, name)]:
                go_on(f"loading {', '.join(missing)}")
            process_guard.restrict_shared_memory(self._shm_prefix)  # no picture is in it so far
            for name in readiness.canary_models(self.models):
                self._ask(client, name, deadline=deadline, go_on=go_on)
        finally:
            client.close()

    def _ask(self, client: Any, name: str, *, deadline: float, go_on: Callable[[str], None]) -> None:
        """A canary in a thread of its own, so that a death or a signal meanwhile is noticed."""
        from deploy.embedded import readiness

        failure: list[Exception] = []

        def run() -> None:
            try:
                readiness.send_canary(client, name, timeout=max(1.0, deadline - time.monotonic() + 1))
            except Exception as error:
                failure.append(error)

        thread = threading.Thread(target=run, name=f"canary-{name}", daemon=True)
        thread.start()
        while thread.is_alive():
            go_on(f"answering the first request to {name}")
        if failure:
            if not self.running:
                raise self._died(starting=True)
            raise failure[0]

    def _died(self, *, starting: bool = False) -> EmbeddedServerError:
        assert self._guard is not None
        status = self._guard.wait()
        if self._pump is not None:
            self._pump.join(timeout=5)
        if starting and (diagnosis := self._log.diagnosis()):
            return diagnosis
        return ServerDied.with_status(status, log_tail=self._log.tail, starting=starting)


def _shm_prefix() -> str:
    """What a new server's shared memory is called by."""
    # The token keeps servers apart; the last underscore keeps one's prefix from opening another's.
    return f"qface_{os.getpid()}_{uuid.uuid4().hex[:8]}_"
