"""What a fault is, and the scene that it is given: the families of faults in this folder are made of both."""

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import grpc

from deploy.benchmark.faults.whole import is_whole, seconds_until
from deploy.benchmark.load import End, Load, Outcome, Samples
from deploy.benchmark.load.clients import MakeSender, reply_of
from deploy.benchmark.load.outcomes import end_of_error
from deploy.benchmark.load.sample_requests import Sample
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.processes import model_names

REPAIR_SECONDS = 300.0  # until a gateway must be whole again, on a machine that is many times slower


class Scene:
    """A gateway under load, and what a fault may need to do something to it.

    gateway     the running gateway
    samples     requests and their right answers, of the repository that it was started with
    photo       an encoded photo of a face
    folder      a temporary folder of this fault alone
    kept        one that lives as long as the gateway: for what it is to serve after the fault
    repository  what the gateway was started with; it is not to be changed, as others are started with it
    clients     how many clients there are
    quick       whether the short form is wanted
    times       how many clients are to leave each ensemble
    load        the clients, which run
    notes       sentences for the table: what else was measured
    outcomes    ends of requests beside the load's own, which count like those
    """

    def __init__(
        self,
        gateway: GatewayServer,
        samples: Samples,
        *,
        photo: bytes,
        folder: Path,
        kept: Path,
        repository: Path,
        clients: int = 8,
        quick: bool = False,
        times: int = 1000,
    ) -> None:
        self.gateway = gateway
        self.samples = samples
        self.photo = photo
        self.folder = folder
        self.kept = kept
        self.repository = repository
        self.clients = clients
        self.quick = quick
        self.times = times
        self.load = Load([])
        self.notes: list[str] = []
        self.outcomes: list[Outcome] = []

    @property
    def supervisor(self) -> int:
        """The process id from which all of the gateway's processes descend."""
        return self.gateway.supervisor_pid

    def whole(self, *hurt: int, models: Collection[str] | None = None) -> float:
        """Waits until the gateway answers with all its processes; the seconds that it took.

        hurt     processes that may have no part in it any more
        models   those that must have a process; None: the Python models of the repository it started with
        TimeoutError after REPAIR_SECONDS.
        """
        needed = model_names(self.repository) if models is None else models
        return self.until(lambda: is_whole(self.gateway, needed, without=hurt))

    def until(self, holds: Callable[[], bool]) -> float:
        """Waits until something holds; the seconds that it took. TimeoutError after REPAIR_SECONDS."""
        return seconds_until(holds, timeout=REPAIR_SECONDS)

    def wait_for(self, answers: int) -> None:
        """Returns when the clients have got so many further answers; AssertionError if they don't come."""
        self.load.wait_for(answers, timeout=REPAIR_SECONDS)

    def start_again(self) -> None:
        """Starts an ended gateway anew at the same addresses, as a service manager does."""
        self.gateway.stop()
        self.gateway.start()

    def copy_of_repository(self) -> Path:
        """A copy of the repository, which the fault may damage; it lives as long as the gateway."""
        folder = Path(tempfile.mkdtemp(dir=self.kept))
        return shutil.copytree(self.repository.resolve(), folder / "repository", symlinks=True)

    def ask(self, stub: Any, request: Any, *, deadline: float, sample: Sample | None = None) -> str:
        """Sends a request of the fault's own, which counts, and returns its status by name.

        sample   whose answer is expected (None: any)
        """
        began = time.monotonic()
        end, code, details = End.ANSWERED, "OK", ""
        try:
            answer = stub.ModelInfer(request, timeout=deadline)
            if sample is not None and not sample.fits(answer, tolerance=self.samples.tolerance):
                end = End.WRONG
        except grpc.RpcError as error:
            reply = reply_of(error)
            code, details = reply.code, reply.details
            end = end_of_error(code, details, seconds=time.monotonic() - began, deadline=deadline)
        self.count(end, code=code, details=details, began=began, seconds=time.monotonic() - began)
        return code

    def count(
        self, end: End, *, code: str = "OK", details: str = "", began: float = 0.0, seconds: float = 0.0
    ) -> None:
        """Counts the end of a request that the fault sent by itself; see Outcome."""
        self.outcomes.append(
            Outcome(
                client="the fault",
                model="",
                began=began,
                seconds=seconds,
                end=end,
                code=code,
                details=details,
            )
        )


Happen = Callable[[Scene], float | None]
MakeClients = Callable[[Scene], Sequence[MakeSender]]


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    name       its row in the table
    happen     does it under load; returns the seconds until all was whole again, None where nothing had to
               be made whole. Raises AssertionError, TimeoutError or ControlError where something is not as
               it should be
    fresh      it gets a gateway of its own, which it may end
    prefix     words before the gateway's command: a namespace, an environment
    arguments  further options of the gateway
    rest       whether the gateway has its REST door
    prepare    done before the clients start: what is not to be measured
    clients    who sends requests meanwhile (None: the usual mix)
    only       a word without which, in --only, this fault is left out: it takes long
    """

    name: str
    happen: Happen
    fresh: bool = False
    prefix: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    rest: bool = False
    prepare: Callable[[Scene], None] | None = None
    clients: MakeClients | None = None
    only: str = ""
