"""FrontProcesses: the further fronts of a gateway, and its REST door, kept running by its main process."""

import asyncio
import base64
import contextlib
import dataclasses
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from deploy.gateway.authority import Authority
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.operation.workers import messages
from deploy.gateway.operation.workers.authority_server import AuthorityServer
from deploy.gateway.operation.workers.connection import Connection
from deploy.gateway.operation.workers.doors import GRPC, REST, FrontPlan
from deploy.gateway.operation.workers.messages import Message
from deploy.gateway.options import GatewayOptions
from deploy.gateway.refusals import Refusal
from deploy.gateway.repeating import repeat

LOOK_SECONDS = 0.25  # between looks at what is served and how it is
PING_SECONDS = 1.0
SILENCE_SECONDS = 15.0  # after which a front hangs
START_SECONDS = 60.0  # from its start until it takes connections
SETTLED_SECONDS = 60.0  # after a life so long, the delay begins anew
FIRST_DELAY, LONGEST_DELAY = 0.25, 30.0  # before a restart
REFUSE_SECONDS = 2.0  # for a front to begin to refuse
STOP_MARGIN = 5.0  # beyond the grace, until it is killed

MODULE = "deploy.gateway.operation.workers.front_process"


class FrontProcesses:
    """Starts fronts, starts again what died, and ends them. For one event loop.

    authority  of the main process
    count      how many for gRPC, beside that of the main process
    rest       whether there is a REST door
    log        one sentence each
    cut_off    see AuthorityServer
    event      called with a word when a front died or was killed: "front_died", "front_hung"
    """

    def __init__(
        self,
        authority: Authority,
        *,
        options: GatewayOptions,
        count: int,
        rest: bool = False,
        log: Callable[[str], None],
        cut_off: Callable[[int], None],
        event: Callable[[str], None] = lambda kind: None,
    ) -> None:
        plans = [FrontPlan(name=f"front {number}", door=GRPC) for number in range(2, count + 2)]
        plans += [FrontPlan(name="the REST door", door=REST)] if rest else []
        self._fronts = [
            _Keeper(authority, options=options, plan=plan, log=log, cut_off=cut_off, event=event)
            for plan in plans
        ]
        self._log = log
        self._pinged = self._looked = time.monotonic()
        self._looking: asyncio.Task[None] | None = None

    def start(self, port: int, *, rest_port: int = 0) -> None:
        """Starts all, on the port that the main process listens on, and on that of the REST door."""
        self._pinged = self._looked = time.monotonic()
        look = repeat(self._look, seconds=LOOK_SECONDS, what="the look at the fronts", log=self._log)
        self._looking = asyncio.get_running_loop().create_task(look)
        for front in self._fronts:
            front.start(rest_port if front.plan.door == REST else port)

    async def started(self) -> None:
        """Returns when each takes connections, or has ended instead and will be started again."""
        await asyncio.gather(*(front.tried.wait() for front in self._fronts))

    def changed(self) -> None:
        """Passes on at once that what is served, or how it is, has changed."""
        for front in self._fronts:
            front.push()

    def reload(self) -> None:
        """Lets each read its keys again."""
        for front in self._fronts:
            front.send([messages.RELOAD])

    @property
    def lost_lines(self) -> int:
        """Lines of the access log that fronts could not write."""
        return sum(front.lost_lines for front in self._fronts)

    def status(self) -> list[Mapping[str, Any]]:
        """Of each: its door, its pid, whether it takes connections, its requests that are with Triton."""
        return [front.status() for front in self._fronts]

    async def refuse_new(self, refusal: Refusal) -> None:
        """New requests get this refusal from now on, in all fronts; none is started again."""
        await asyncio.gather(*(front.refuse_new(refusal) for front in self._fronts))

    async def stop(self, grace: float) -> None:
        """Ends all, each after at most `grace` seconds for its calls."""
        await asyncio.gather(*(front.stop(grace) for front in self._fronts))
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        now = time.monotonic()
        stood_still, self._looked = max(0.0, now - self._looked - LOOK_SECONDS), now
        if now - self._pinged >= PING_SECONDS:
            self._pinged = now
            for front in self._fronts:
                # This process may have been stopped: what it did not read then is no silence.
                front.ping(silence=SILENCE_SECONDS + stood_still)
        self.changed()


@dataclasses.dataclass(frozen=True, kw_only=True)
class AccessLogs:
    """The access logs of all fronts, which write to one file."""

    own: AccessLog | None  # of the main process
    further: FrontProcesses

    @property
    def lost(self) -> int:
        """Lines that could not be written."""
        return self.further.lost_lines + (0 if self.own is None else self.own.lost)


class _Life:
    """One process of a front, from its start to its end."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.connection: Connection | None = None
        self.server: AuthorityServer | None = None
        self.listening = asyncio.Event()
        self.refusing = asyncio.Event()
        self.gone = asyncio.Event()  # its end of the socket is closed
        self.began = self.heard = time.monotonic()
        self.hung = False
        self.in_flight = 0
        self.lost_lines = 0


class _Keeper:
    """Keeps one front running."""

    def __init__(
        self,
        authority: Authority,
        *,
        options: GatewayOptions,
        plan: FrontPlan,
        log: Callable[[str], None],
        cut_off: Callable[[int], None],
        event: Callable[[str], None],
    ) -> None:
        self._authority = authority
        self._options = options
        self.plan = plan
        self._log = log
        self._cut_off = cut_off
        self._event = event
        self._port = 0
        self._life: _Life | None = None
        self._running: asyncio.Task[None] | None = None
        self.tried = asyncio.Event()  # the first life takes connections, or has ended
        self._refusal: Refusal | None = None
        self._stopping = False
        self._delay = FIRST_DELAY
        self._lost_before = 0  # lines that earlier lives could not write

    def start(self, port: int) -> None:
        self._port = port
        self._running = asyncio.get_running_loop().create_task(self._run())

    def send(self, message: Message) -> None:
        if self._life is not None and self._life.connection is not None:
            self._life.connection.send(message)

    def push(self) -> None:
        if self._life is not None and self._life.server is not None:
            self._life.server.push()

    @property
    def lost_lines(self) -> int:
        return self._lost_before + (0 if self._life is None else self._life.lost_lines)

    def status(self) -> Mapping[str, Any]:
        life = self._life
        if life is None:
            return {"door": self.plan.door, "pid": None, "listening": False, "in_flight": 0}
        return {
            "door": self.plan.door,
            "pid": life.process.pid,
            "listening": life.listening.is_set(),
            "in_flight": life.in_flight,
        }

    def ping(self, *, silence: float) -> None:
        """Is it alive? One that was not heard of for so many seconds is killed."""
        life = self._life
        if life is None:
            return
        patience = silence if life.listening.is_set() else START_SECONDS
        if time.monotonic() - life.heard > patience and not life.hung:
            life.hung = True
            life.process.kill()
        self.send([messages.PING])

    async def refuse_new(self, refusal: Refusal) -> None:
        self._refusal = refusal
        life = self._life
        if life is None or not life.listening.is_set():
            return
        self.send([messages.REFUSE, messages.refusal_to_json(refusal)])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REFUSE_SECONDS):
                await life.refusing.wait()

    async def stop(self, grace: float) -> None:
        self._stopping = True
        if self._running is None:
            return
        life = self._life
        if life is None:
            self._running.cancel()
        else:
            self.send([messages.STOP, grace])
            try:
                async with asyncio.timeout(grace + STOP_MARGIN):
                    await life.gone.wait()
            except TimeoutError:
                life.process.kill()
        await asyncio.gather(self._running, return_exceptions=True)

    # -- within -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not (self._stopping or self._refusal):
            try:
                life = await self._begin()
            except OSError as error:  # no process or no descriptor is left
                self._log(f"{self.plan.name} can't be started ({error.strerror}); trying again")
            else:
                await life.gone.wait()
                await self._end(life)
            self.tried.set()
            if not (self._stopping or self._refusal):
                await asyncio.sleep(self._delay)
                self._delay = min(2 * self._delay, LONGEST_DELAY)

    async def _begin(self) -> _Life:
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as stack:
            stack.callback(ours.close)
            with theirs:
                process = subprocess.Popen(
                    (sys.executable, "-m", MODULE, str(theirs.fileno())),
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C reaches the supervisor only
                )
            life = _Life(process)
            life.connection = await Connection.over(
                ours, received=lambda message: self._received(life, message), lost=life.gone.set
            )
            stack.pop_all()
        life.server = AuthorityServer(self._authority, send=life.connection.send, cut_off=self._cut_off)
        self._life = life
        settings = {
            "name": self.plan.name,
            "door": self.plan.door,
            "port": self._port,
            "options": base64.b64encode(pickle.dumps(self._options)).decode(),
        }
        life.connection.send([messages.START, settings])
        life.server.push()
        return life

    def _received(self, life: _Life, message: Message) -> None:
        life.heard = time.monotonic()
        if life.server is None or life.server.received(message):
            return
        match message:
            case [messages.PONG, in_flight, lost_lines]:
                life.in_flight, life.lost_lines = in_flight, lost_lines
            case [messages.LISTENING, port]:
                self._port = port  # where it was any free one, the next life listens there again
                life.listening.set()
                self.tried.set()
                if self._refusal is not None:
                    self.send([messages.REFUSE, messages.refusal_to_json(self._refusal)])
            case [messages.REFUSING]:
                life.refusing.set()
            case _:
                raise ValueError(f"unknown message {message[:1]}")

    async def _end(self, life: _Life) -> None:
        """After its connection ended: gives back what it held, and waits for its process."""
        assert life.server is not None
        held = life.server.in_flight
        await life.server.lost()
        life.refusing.set()
        self._life = None
        self._lost_before += life.lost_lines
        status = await asyncio.get_running_loop().run_in_executor(None, _wait, life.process)
        if self._stopping:
            return
        if status != 0 or held:
            self._event("front_hung" if life.hung else "front_died")
        if time.monotonic() - life.began > SETTLED_SECONDS:
            self._delay = FIRST_DELAY
        how = f"gave no sign for {SILENCE_SECONDS:g} s and was killed" if life.hung else _how(status)
        cut = f" with {held} requests at Triton" if held else ""
        again = "" if self._refusal else f"; it is started again in {self._delay:g} s"
        self._log(f"{self.plan.name} {how}{cut}{again}")


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """The exit status of a process whose connection has ended; it is killed where it goes on."""
    try:
        return process.wait(timeout=STOP_MARGIN)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    with contextlib.suppress(ValueError):
        return f"ended by {signal.Signals(-status).name}"
    return f"ended by signal {-status}"
