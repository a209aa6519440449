"""Stage: does one fault after the other, each to a gateway that is well and under load."""

import contextlib
import random
import socket
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self, TextIO

from deploy.benchmark.faults.fault import REPAIR_SECONDS, Fault, Scene
from deploy.benchmark.faults.table import Row
from deploy.benchmark.faults.whole import seconds_until
from deploy.benchmark.load import Load, Samples, Summary, mixed_clients
from deploy.benchmark.load.clients import MakeSender
from deploy.benchmark.load.rest_sender import rest_sender
from deploy.benchmark.load.sample_requests import LOW_PRECISION_TOLERANCE
from deploy.gateway.operation.service import GatewayServer

DEADLINE = 60.0  # seconds that each request has
_PAUSE = 0.1  # seconds of a client between an answer and its next request
_ANSWERS = 16  # before a fault and after it
# Below those that the kernel gives to connections: no client sits on the port of a gateway that starts again.
_PORTS = range(15_000, 30_000)


class Stage:
    """The gateways that faults are done to; one at a time.

    repository  what they serve
    photo       an encoded photo of a face
    clients     how many send requests meanwhile
    arguments   further options of each gateway; a fault's own come behind them
    log         where the gateways and their Tritons write
    """

    def __init__(
        self,
        repository: Path,
        *,
        photo: bytes,
        log: TextIO,
        clients: int = 8,
        quick: bool = False,
        times: int = 1000,
        arguments: Sequence[str] = (),
    ) -> None:
        self._repository = repository
        self._photo = photo
        self._log = log
        self._clients = clients
        self._quick = quick
        self._times = times
        self._arguments = tuple(arguments)
        self._samples: Samples | None = None
        self._gateway: GatewayServer | None = None
        self._kept: Path | None = None  # a folder that lives as long as the gateway
        self._setting: tuple[object, ...] = ()  # of the gateway that runs: what differs from fault to fault
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Ends the gateway that runs."""
        self._gateway = None
        self._open.close()

    def rows(self, faults: Iterable[Fault]) -> Iterator[Row]:
        """Does each fault, and yields its row."""
        for fault in faults:
            yield self.run(fault)

    def run(self, fault: Fault) -> Row:
        """Does one fault under load; whatever fails is the row's remark."""
        load, scene = Load([]), None
        remark, whole = "", None
        with tempfile.TemporaryDirectory(prefix="qface-fault-", ignore_cleanup_errors=True) as folder:
            try:
                scene = self._scene(fault, Path(folder))
                if fault.prepare is not None:
                    fault.prepare(scene)
                clients = self._mix(scene) if fault.clients is None else fault.clients(scene)
                scene.load = load = Load(clients, deadline=DEADLINE, pause=_PAUSE)
                with load:
                    scene.wait_for(_ANSWERS)
                    whole = fault.happen(scene)
                    scene.wait_for(_ANSWERS)
            except Exception as error:  # whatever it is: the others are done all the same
                remark = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if harmed := [outcome for outcome in load.outcomes if outcome.harmed]:
            remark = f"{remark} {len(harmed)} harmed, the first: {harmed[0].code} {harmed[0].details}".strip()
        if fault.fresh or remark:  # what is left of it harms no other fault
            self.clear()
        return Row(
            fault=fault.name,
            whole=whole,
            summary=Summary.of(load.outcomes + (scene.outcomes if scene else [])),
            remark=remark,
            note="; ".join(scene.notes) if scene else "",
        )

    # -- within -------------------------------------------------------------------------------------

    def _scene(self, fault: Fault, folder: Path) -> Scene:
        setting = (fault.prefix, fault.arguments, fault.rest)
        if fault.fresh or self._gateway is None or setting != self._setting:
            self._start(fault)
        gateway, kept = self._gateway, self._kept
        assert gateway is not None
        assert kept is not None
        if "always" in (*self._arguments, *fault.arguments):
            seconds_until(lambda: bool(gateway.status()["standby_ready"]), timeout=REPAIR_SECONDS)
        if self._samples is None:
            self._samples = Samples(
                gateway.grpc_address,
                gateway.models,
                size=112,
                variants=2,
                photos=[self._photo],
                tolerance=LOW_PRECISION_TOLERANCE,
            )
        return Scene(
            gateway,
            self._samples,
            photo=self._photo,
            folder=folder,
            kept=kept,
            repository=self._repository,
            clients=self._clients,
            quick=self._quick,
            times=self._times,
        )

    def _start(self, fault: Fault) -> None:
        self.clear()
        self._kept = Path(
            self._open.enter_context(
                tempfile.TemporaryDirectory(prefix="qface-faults-", ignore_cleanup_errors=True)
            )
        )
        self._gateway = self._open.enter_context(
            GatewayServer(
                self._repository,
                grpc_port=_free_port(),
                http_port=_free_port(),
                rest_port=_free_port() if fault.rest else None,
                log=self._log,
                arguments=[*self._arguments, *fault.arguments],
                prefix=fault.prefix,
            )
        )
        self._setting = (fault.prefix, fault.arguments, fault.rest)

    def _mix(self, scene: Scene) -> list[MakeSender]:
        clients = mixed_clients(
            scene.gateway.grpc_address,
            scene.samples,
            deadline=DEADLINE,
            photo=self._photo,
            clients=self._clients,
        )
        if address := scene.gateway.rest_address:  # two of them come by REST
            clients[1:3] = [rest_sender(address, self._photo, tolerance=scene.samples.tolerance)] * 2
        return clients


def _free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as held, contextlib.suppress(OSError):
            held.bind(("127.0.0.1", port))
            return port
