"""The main process of a gateway: front, admission, Tritons, pages and control, put together and run.

    python -m deploy.gateway.operation.main_process OPTIONS    (started by the supervisor)

It listens at once, and refuses requests with UNAVAILABLE until a Triton is ready. After SIGTERM or SIGINT it
refuses new work, answers what it has accepted, and ends; a second signal cuts that short. SIGHUP is `reload`.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

from deploy.embedded.assembled_repository import precisions_served
from deploy.embedded.errors import CannotStart, EmbeddedServerError, PortTaken
from deploy.embedded.installations import triton_in
from deploy.gateway.admission.admission import Admission
from deploy.gateway.admission.rates import Rates
from deploy.gateway.backends.blame import Blame
from deploy.gateway.backends.pool import BackendPool
from deploy.gateway.dispatcher import Dispatcher
from deploy.gateway.front.front import Front
from deploy.gateway.front.memory import MemoryTrim
from deploy.gateway.identity import Identities, check_exposure
from deploy.gateway.identity.tls import CertificateExpiry
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.observability.metrics import Metrics
from deploy.gateway.observability.pages import Pages
from deploy.gateway.operation import places, reports
from deploy.gateway.operation.command_line import ServeCommand, parse_serve
from deploy.gateway.operation.console import fail, log, note
from deploy.gateway.operation.control import ControlServer
from deploy.gateway.operation.control_methods import ControlMethods
from deploy.gateway.operation.failure_reports import fields_of
from deploy.gateway.operation.process_settings import DescriptorWatch, prepare_process
from deploy.gateway.operation.repository_lease import RepositoryLeases
from deploy.gateway.operation.state import ServingState, StateFile
from deploy.gateway.operation.workers.front_processes import AccessLogs, FrontProcesses
from deploy.gateway.options import GatewayOptions
from deploy.gateway.refusals import unavailable
from deploy.gateway.repeating import repeat
from deploy.gateway.tracing.span_export import span_export
from deploy.ready_file import ReadyFile

_HEARTBEAT_SECONDS = 1.0
_READY_FILE = "the ready file"
_LAST_ANSWERS_SECONDS = 1.0  # for refusals that are under way when the front ends
_COME_BACK_SECONDS = 2.0  # what clients are given while this process stops


class _Stop:
    """What signals came: the first one stops, the second one hurries."""

    def __init__(self) -> None:
        self.wanted = asyncio.Event()
        self.hurried = asyncio.Event()

    def on_signal(self) -> None:
        (self.hurried if self.wanted.is_set() else self.wanted).set()


class MainProcess:
    """One gateway, assembled from its options."""

    def __init__(self, options: GatewayOptions, *, reporter: reports.Reporter, restarts: int = 0) -> None:
        """CannotStart for keys or certificates that can't be used."""
        self._options = options
        self._reporter = reporter
        self._stop = _Stop()
        self._descriptors = DescriptorWatch(log)
        self._memory = MemoryTrim()
        self._unwritten: dict[str, Callable[[], None]] = {}  # what is tried again, by what it is
        self._address = ""
        self._is_open = False  # whether every port takes connections, those of further processes too
        control = places.control_socket(options.control, repository=options.repository)
        self._state_file = StateFile(places.state_file(control))
        self._leases = RepositoryLeases()
        state = self._first_state()
        if warning := check_exposure(options.host, options.identity):
            log(warning)
        self._identities = Identities(options.identity, log=log)
        try:
            self._access_log = None if options.access_log is None else AccessLog(options.access_log, log=log)
        except OSError as error:
            raise CannotStart(
                f"the access log {options.access_log} can't be written: {error.strerror}; name another place"
            ) from error
        self._metrics = Metrics(restarts=restarts)
        self._spans = span_export(options.tracing, socket=places.span_socket(control), log=log)
        self._pool = BackendPool(
            dataclasses.replace(options, repository=state.repository),
            on_change=self._on_change,
            on_event=self._on_event,
            previous=state.previous,
        )
        self._admission = Admission(options.limits)
        self._dispatcher = Dispatcher(
            admission=self._admission,
            pool=self._pool,
            blame=Blame(options.repair.blame_seconds),
            rates=Rates(),
            metrics=self._metrics,
        )
        self._front = Front(
            self._dispatcher,
            options=options,
            identities=self._identities,
            access_log=self._access_log,
            traces=None if self._spans is None else self._spans.traces,
            log=log,
        )
        self._further_fronts = FrontProcesses(
            self._dispatcher,
            options=options,
            count=options.processes - 1,
            rest=not options.no_rest,
            log=log,
            cut_off=self._pool.cut_off,
            event=self._metrics.event,
        )
        logs = AccessLogs(own=self._access_log, further=self._further_fronts)
        self._metrics.watch(
            self._admission,
            self._pool,
            logs if options.access_log else None,
            spans=self._spans,
            certificate_expiry=CertificateExpiry(options.identity),
        )
        self._pages = Pages(
            metrics=self._metrics.render, health=self.health, served=self._dispatcher.served, log=log
        )
        self._methods = ControlMethods(
            pool=self._pool,
            admission=self._admission,
            identities=self._identities,
            access_log=self._access_log,
            further_fronts=self._further_fronts,
            on_state=self._took_over,
            health=self.health,
            restarts=restarts,
        )
        self._control = ControlServer(control, self._methods.by_name())
        self._ready_file = ReadyFile(options.ready_file)

    def health(self, model: str | None = None) -> tuple[bool, str]:
        """Whether requests are welcome, and in a sentence why not."""
        if self._stop.wanted.is_set():
            return False, "the gateway stops"
        is_ready, why = self._dispatcher.health(model)
        if is_ready and not self._is_open:
            return False, "a port of the gateway's further processes is not open yet"
        return is_ready, why

    async def run(self) -> None:
        """Serves until a signal; raises an EmbeddedServerError where it can't."""
        with self._signals():
            heartbeat = asyncio.create_task(
                repeat(self._beat, seconds=_HEARTBEAT_SECONDS, what="the heartbeat", log=log)
            )
            following = asyncio.create_task(self._metrics.follow(log))
            try:
                if self._spans is not None:
                    await self._spans.start()  # before the processes that send it theirs
                await self._listen()
                self._further_fronts.start(self._grpc_port, rest_port=self._options.rest_port)
                if await self._start_pool():
                    await self._further_fronts.started()
                    self._is_open = True
                    self._show_readiness()
                    self._note_precisions()
                    log(f"ready: {len(self._models)} models {self._after()}; Ctrl-C stops the gateway")
                    if self._options.web:
                        log(f"the page: {self._rest_url}/")
                    self._reporter.send(reports.READY, models=self._models)
                    await self._stop.wanted.wait()
                    await self._drain()
                else:
                    log("stopped before it was ready")
            finally:
                self._ready_file.remove()
                with contextlib.suppress(Exception):
                    await self._end()
                heartbeat.cancel()
                following.cancel()

    # -- start --------------------------------------------------------------------------------------

    def _first_state(self) -> ServingState:
        """What this run served last, else what the options name, its link followed once."""
        kept = self._state_file.read()
        if kept is not None and not kept.repository.is_dir():
            log(f"{kept.repository}, which was served, is gone; serving {self._options.repository}")
            kept = None
        state = kept or ServingState(repository=self._options.repository.resolve())
        self._keep(state)
        return state

    def _took_over(self, state: ServingState) -> None:
        """After a swap or a way back."""
        self._keep(state)
        self._note_precisions()

    def _note_precisions(self) -> None:
        serves_gpus = triton_in(self._options.triton).serves_gpus
        for line in precisions_served(self._pool.repository, serves_gpus=serves_gpus):
            note(line)

    def _keep(self, state: ServingState) -> None:
        self._leases.keep([path for path in (state.repository, state.previous) if path is not None])
        self._write("the file of what is served", lambda: self._state_file.write(state))

    def _write(self, what: str, write: Callable[[], None]) -> None:
        """Writes a small file, now or once it can be: a full disk is no reason not to serve."""
        try:
            write()
        except OSError as error:
            if what not in self._unwritten:
                log(f"{what} can't be written ({error.strerror}): it is tried again every second")
            self._unwritten[what] = write
        else:
            self._unwritten.pop(what, None)

    async def _listen(self) -> None:
        options = self._options
        self._began = time.monotonic()
        await self._control.start()
        try:
            # Shared with the further fronts, and with the supervisor, which keeps it during a restart.
            self._grpc_port = await self._front.start(options.grpc_port, shared=True)
            http_port = await self._pages.start(options.host, options.http_port)
        except OSError as error:
            raise PortTaken(
                f"a port of {options.host} was taken while the gateway started ({error}): stop what listens "
                "there or choose another with --grpc-port and --http-port"
            ) from error
        self._address = f"{options.host}:{self._grpc_port}"
        pages = f"{options.host}:{http_port}"
        rest = self._rest_url.rpartition("/")[2]
        self._methods.addresses = {"grpc": self._address, "http": pages, "rest": rest}
        door = f", REST {self._rest_url}/docs" if rest else ""
        log(f"starting: gRPC {self._address}{door}, metrics http://{pages}/metrics")
        self._reporter.send(
            reports.LISTENING, grpc_address=self._address, http_address=pages, rest_address=rest
        )

    @property
    def _rest_url(self) -> str:
        """Without a path; "" where there is no REST port."""
        options = self._options
        scheme = "http" if options.identity.certificate is None else "https"
        return "" if options.no_rest else f"{scheme}://{options.host}:{options.rest_port}"

    async def _start_pool(self) -> bool:
        """False where a signal came first."""
        starting = asyncio.ensure_future(self._pool.start())
        stopping = asyncio.ensure_future(self._stop.wanted.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return False
            await starting
            return True
        finally:
            for task in (starting, stopping):
                task.cancel()
            with contextlib.suppress(BaseException):
                await starting

    @property
    def _models(self) -> list[str]:
        served = self._dispatcher.served()
        return [] if served is None else sorted(served.configs)

    def _after(self) -> str:
        return f"after {time.monotonic() - self._began:.1f} s"

    # -- while it runs ------------------------------------------------------------------------------

    def _on_change(self) -> None:
        self._dispatcher.pool_changed()
        self._further_fronts.changed()
        self._show_readiness()

    def _show_readiness(self) -> None:
        """By the ready file."""
        is_ready, _ = self.health()
        if not is_ready:
            self._unwritten.pop(_READY_FILE, None)
            self._ready_file.remove()
            return
        self._write(_READY_FILE, lambda: self._ready_file.write(self._address))

    def _on_event(self, kind: str, sentence: str) -> None:
        self._metrics.event(kind)
        log(sentence)

    async def _beat(self) -> None:
        self._reporter.send(reports.ALIVE)
        self._descriptors.look()
        self._memory.look()
        for what, write in tuple(self._unwritten.items()):
            self._write(what, write)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._methods.reload_now)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    # -- the end ------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Refuses new work, and waits for the answers to what was accepted."""
        self._unwritten.clear()
        self._ready_file.remove()
        accepted = self._admission.waiting + self._admission.in_flight
        log(f"stopping: {accepted} accepted requests are answered first" if accepted else "stopping")
        refusal = unavailable(
            "this server stops and takes no more requests: send it again, to another one or later",
            reason="stopping",
            retry_after=_COME_BACK_SECONDS,
        )
        await asyncio.gather(self._front.refuse_new(refusal), self._further_fronts.refuse_new(refusal))
        draining = asyncio.ensure_future(self._dispatcher.drain(refusal))
        hurrying = asyncio.ensure_future(self._stop.hurried.wait())
        await asyncio.wait(
            {draining, hurrying},
            timeout=self._options.drain_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not draining.done():
            left = self._admission.waiting + self._admission.in_flight
            log(f"{left} accepted requests were not answered in time")
        for task in (draining, hurrying):
            task.cancel()

    async def _end(self) -> None:
        await asyncio.gather(
            self._front.finish(_LAST_ANSWERS_SECONDS), self._further_fronts.stop(_LAST_ANSWERS_SECONDS)
        )
        await self._pool.stop(hurried=self._stop.hurried)
        await self._pages.stop()
        await self._control.stop()
        if self._spans is not None:
            await self._spans.stop()
        if self._access_log is not None:
            await asyncio.to_thread(self._access_log.close)


async def run(options: GatewayOptions, *, reporter: reports.Reporter, restarts: int = 0) -> None:
    """Serves until a signal; raises an EmbeddedServerError where it can't."""
    await MainProcess(options, reporter=reporter, restarts=restarts).run()


async def _run_and_leave(command: ServeCommand, reporter: reports.Reporter) -> None:
    """Ends the process afterwards, with the front still refusing: see `Front.finish`."""
    status = 0
    try:
        await run(command.options, reporter=reporter, restarts=command.restarts)
        log("stopped")
    except EmbeddedServerError as error:
        reporter.send(reports.FAILED, **fields_of(error))
        status = fail(str(error), status=2 if isinstance(error, CannotStart) else 1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main(command: ServeCommand) -> None:
    """Ends the process: 0 after an ordered stop, 1 where it ended by itself, 2 where it could not start."""
    reporter = reports.Reporter(command.reports)
    reporter.send(reports.ALIVE)
    prepare_process()
    asyncio.run(_run_and_leave(command, reporter))


if __name__ == "__main__":
    main(parse_serve(sys.argv[1:]))
