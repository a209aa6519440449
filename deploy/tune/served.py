"""Servers of settings, and what their answers cost."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from build.serving.host_settings import HostSettings
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.benchmark.answer_cost.callers import ClientProcesses, clients_in
from deploy.benchmark.answer_cost.rows import Request
from deploy.embedded import EmbeddedServer, EmbeddedServerError
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.server_processes import ServerProcesses
from deploy.measuring.workers import WorkerError
from deploy.tune.descent import Duel, NotMeasured, Round
from deploy.tune.knobs import FACE, PHOTO
from qface_client.measuring.sample import CLIENT

WARM_UP_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """What clients do while settings are measured."""

    clients: int
    client_processes: int
    rounds: int
    seconds: float  # of a round of one side

    @classmethod
    def for_cores(cls, cores: int, *, rounds: int, seconds: float) -> "Load":
        """As many clients as keep every core busy; a process of clients feeds four of them."""
        return cls(
            clients=max(16, 4 * cores),
            client_processes=min(16, max(1, cores // 4)),
            rounds=rounds,
            seconds=seconds,
        )


class Servers:
    """Starts a server for settings when they are first measured, and keeps the one that is the best so far.

    Two stand at most; each is served from a repository of its own, in a folder that goes with it.
    """

    def __init__(self, plan: ServingPlan, load: Load) -> None:
        self._plan = plan
        self._load = load
        self._running: dict[HostSettings, _Server] = {}
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._clients = self._resources.enter_context(clients_in(self._load.client_processes))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in self._running.values():
            server.stop()
        self._resources.close()

    def compare(self, incumbent: HostSettings, challenger: HostSettings, workload: str) -> Duel:
        """Both under the same load, in turns; NotMeasured where a server does not start, or fails."""
        try:
            return self._compare(incumbent, challenger, workload)
        except (EmbeddedServerError, WorkerError, OSError) as error:
            while self._running:  # which of them is not well is not known
                self._running.popitem()[1].stop()
            raise NotMeasured(" ".join(str(error).split())) from None

    def _compare(self, incumbent: HostSettings, challenger: HostSettings, workload: str) -> Duel:
        for settings in [held for held in self._running if held not in (incumbent, challenger)]:
            self._running.pop(settings).stop()
        rounds: dict[HostSettings, list[Round]] = {incumbent: [], challenger: []}
        for settings in rounds:
            self._round(settings, workload, seconds=WARM_UP_SECONDS)
        for number in range(self._load.rounds):
            # Who comes second finds other caches, and another minute.
            for settings in (incumbent, challenger) if number % 2 else (challenger, incumbent):
                rounds[settings].append(self._round(settings, workload, seconds=self._load.seconds))
        return Duel(incumbent=tuple(rounds[incumbent]), challenger=tuple(rounds[challenger]))

    def _round(self, settings: HostSettings, workload: str, *, seconds: float) -> Round:
        if settings not in self._running:
            self._running[settings] = _Server(settings, self._plan, self._clients)
        server = self._running[settings]
        sample = server.processes.sample(
            lambda: self._clients.closed(
                address=server.address,
                request=server.requests[workload],
                clients=self._load.clients,
                seconds=seconds,
            )
        )
        core_ms = sample.core_ms
        return Round(
            rate=sample.rate,
            core_ms=sum(core_ms.values()),
            parts={part: value for part, value in core_ms.items() if part != CLIENT},
        )


class _Server:
    """A server of settings, what is sent to it, and its processes."""

    def __init__(self, settings: HostSettings, plan: ServingPlan, clients: ClientProcesses) -> None:
        with contextlib.ExitStack() as stack:
            repository = stack.enter_context(assembled(settings, plan))
            server = stack.enter_context(EmbeddedServer(repository))
            self.address = server.grpc_address
            self.processes = ServerProcesses(server.guard_pid)
            self.requests: Mapping[str, Request] = {
                FACE: clients.portrait(self.address),
                PHOTO: Request(file=str(PORTRAIT)),
            }
            self._resources = stack.pop_all()

    def stop(self) -> None:
        """Ends the server, and removes its repository."""
        self._resources.close()


@contextlib.contextmanager
def assembled(settings: HostSettings, plan: ServingPlan) -> Iterator[Path]:
    """The repository of a plan with these settings, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="qface-tune-") as name:
        folder = Path(name)
        file = folder / "settings.toml"
        file.write_text(settings.to_toml())
        tuned = dataclasses.replace(plan, host_settings=file)
        yield assemble(tuned, output=folder, keeps_engine=True, keeps_further_networks=True)
