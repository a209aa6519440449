"""The generator's processes, as the one who measures sees them: a load is begun, followed, and ended."""

import contextlib
import dataclasses
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing import connection as pipes
from types import TracebackType
from typing import Any, Self

from deploy.embedded.environment import PROJECT
from deploy.loadtest.generator.order import Abort, Done, Failed, Order, Ready, Setup, StopAt
from deploy.loadtest.generator.records import Batch, CodeTable, Records, joined
from deploy.loadtest.loads import ClosedLoop, Load
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.work.question import Question

MODULE = "deploy.loadtest.generator.process"
START_SECONDS = 60.0  # a process imports gRPC and OpenCV: seconds on a machine that is busy
_LEAD = 0.1  # seconds before a load begins, for orders to reach every process
_ABORT_SECONDS = 3.0  # that given-up requests have to be recorded
_STOP_SECONDS = 5.0


class GeneratorError(Exception):
    """The generator can't be started; one sentence."""


def default_processes() -> int:
    """Half of the cores that this process may use, at least one: a server here has the rest."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


@dataclasses.dataclass
class _Member:
    number: int
    process: subprocess.Popen[bytes]
    pipe: pipes.Connection
    busy: bool = False
    dead: str = ""  # how it ended, before it was to


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arrived:
    """A batch of one process; the records' codes are those of `Flow.codes`."""

    process: int
    records: Records
    batch: Batch


class Flow:
    """A load that runs: its records as they arrive.

    begin       time.monotonic of its first moment
    codes       words and first sentences of what the records end with
    deaths      a sentence for each process of the generator that ended meanwhile
    """

    def __init__(self, members: Sequence[_Member], *, begin: float) -> None:
        self.begin = begin
        self.codes = CodeTable()
        self.deaths: list[str] = []
        self._members = members
        self._until = {member.number: begin for member in members if member.busy}
        self._outstanding: dict[int, int] = {}

    @property
    def done(self) -> bool:
        """Whether every request has its record."""
        return not any(member.busy for member in self._members)

    @property
    def until(self) -> float:
        """All that ended before this time (time.monotonic) has arrived."""
        return min(self._until.values(), default=time.monotonic())

    @property
    def outstanding(self) -> int:
        """Requests that had no end when their processes reported last."""
        return sum(self._outstanding.values())

    def arriving(self, timeout: float) -> Iterator[Arrived]:
        """What arrives within so many seconds; ends with the first that came, or with nothing."""
        by_pipe = {member.pipe: member for member in self._members if member.busy}
        for pipe in pipes.wait(list(by_pipe), timeout):
            assert isinstance(pipe, pipes.Connection)
            member = by_pipe[pipe]
            word = _received(member)
            if isinstance(word, Batch):
                self._until[member.number] = word.until
                self._outstanding[member.number] = word.outstanding
                yield Arrived(process=member.number, records=self.codes.translated(word), batch=word)
                continue
            member.busy = False
            self._until.pop(member.number, None)
            self._outstanding.pop(member.number, None)
            if member.dead:
                self.deaths.append(member.dead)

    def stop_at(self, when: float) -> None:
        """Nothing is sent from this time (time.monotonic) on."""
        self._tell(StopAt(time=when))

    def abort(self) -> Iterator[Arrived]:
        """Gives up what is outstanding, and yields its records; within some seconds, whatever happens."""
        self._tell(Abort())
        end = time.monotonic() + _ABORT_SECONDS
        while not self.done and (left := end - time.monotonic()) > 0:
            yield from self.arriving(left)

    def _tell(self, word: Any) -> None:
        for member in self._members:
            if member.busy:
                with contextlib.suppress(OSError):  # `arriving` finds that it ended
                    member.pipe.send(word)


class GeneratorPool:
    """Processes that send questions to a target, for one stage after another.

    deadline    seconds that each request has, of an open loop from when it was due
    """

    def __init__(
        self, target: Target, questions: Sequence[Question], *, processes: int, deadline: float, seed: int = 0
    ) -> None:
        if processes < 1:
            raise ValueError(f"{processes} processes send nothing: give 1 or more")
        if not 0 < deadline < float("inf"):
            raise ValueError(f"a deadline of {deadline} s can't be kept: give seconds, above 0")
        if not questions:
            raise ValueError("there is nothing to send: give a question or more")
        self.target = target
        self.questions = tuple(questions)
        self.processes = processes
        self.deadline = deadline
        self._seed = seed
        self._loads = 0
        self._members: list[_Member] = []

    @property
    def kinds(self) -> tuple[str, ...]:
        """The questions' kinds, in the order by which records number them."""
        return tuple(question.kind for question in self.questions)

    @property
    def complete(self) -> bool:
        """Whether every process that was started can still send."""
        return not any(member.dead for member in self._members)

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(member.process.pid for member in self._members)

    def __enter__(self) -> Self:
        """Starts the processes; GeneratorError where they can't be."""
        setup = Setup(target=self.target, questions=self.questions, deadline=self.deadline)
        try:
            for number in range(self.processes):
                self._members.append(_start(number))
            for member in self._members:
                member.pipe.send(setup)
            end = time.monotonic() + START_SECONDS
            for member in self._members:
                if not member.pipe.poll(max(0.0, end - time.monotonic())):
                    raise GeneratorError(f"the generator was not ready within {START_SECONDS:.0f} s")
                if not isinstance(_received(member), Ready):
                    raise GeneratorError(member.dead)
        except OSError as error:
            self.close()
            advice = "; raise their limit (ulimit -n 65536)" if error.errno == errno.EMFILE else ""
            raise GeneratorError(
                f"the generator can't be started: {error.strerror or error}{advice}"
            ) from None
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, load: Load, *, longest: float) -> Flow:
        """Begins a load that ends after so many seconds, unless it is to stop before.

        A process that ended in a load before has no part in it; GeneratorError where none is left.
        """
        living = [member for member in self._members if not member.dead]
        if not living:
            raise GeneratorError("no process of the generator is left")
        self._loads += 1
        begin = time.monotonic() + _LEAD
        for place, member in enumerate(living):
            seed = (self._seed, self._loads, place)
            order = _share(load, place, len(living), begin=begin, longest=longest, seed=seed)
            with contextlib.suppress(OSError):  # `Flow.arriving` finds that it ended
                member.pipe.send(order)
            member.busy = True
        return Flow(living, begin=begin)

    def run(self, load: Load, seconds: float) -> tuple[Records, Sequence[str]]:
        """All records of a load of so many seconds, and the words of their codes; blocks until its end."""
        flow = self.begin(load, longest=seconds)
        parts = []
        while not flow.done:
            parts += [arrived.records for arrived in flow.arriving(1.0)]
        if flow.deaths:
            raise GeneratorError(flow.deaths[0])
        return joined(parts), flow.codes.words

    def close(self) -> None:
        """Ends the processes; what they had outstanding is given up."""
        members, self._members = self._members, []
        for member in members:
            member.pipe.close()
        for member in members:
            try:
                member.process.wait(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                member.process.kill()
                member.process.wait()


def _start(number: int) -> _Member:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(theirs.fileno())],
            cwd=PROJECT,
            env={**os.environ, "GRPC_VERBOSITY": "NONE"},  # each failed request has its record
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,  # Ctrl-C reaches this process only
        )
    return _Member(number=number, process=process, pipe=pipes.Connection(ours.detach()))


def _share(
    load: Load, place: int, members: int, *, begin: float, longest: float, seed: Sequence[int]
) -> Order:
    if isinstance(load, ClosedLoop):
        clients = load.clients // members + (place < load.clients % members)
        return Order(begin=begin, longest=longest, seed=seed, clients=clients)
    return Order(begin=begin, longest=longest, seed=seed, open_loop=load, share=1 / members)


def _received(member: _Member) -> Any:
    """What a process sent; None where it ended or failed, which is then written down."""
    try:
        word = member.pipe.recv()
    except (EOFError, OSError):
        member.dead = f"generator process {member.number + 1} {_how(member.process)}"
        return None
    if isinstance(word, Failed):
        member.dead = f"generator process {member.number + 1} failed ({word.sentence})"
        return None
    assert isinstance(word, Batch | Ready | Done)
    return word


def _how(process: subprocess.Popen[bytes]) -> str:
    try:
        status = process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        return "closed its socket"
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
