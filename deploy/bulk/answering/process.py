"""What answers, in a process of its own: a photo that kills it is found and fails, others are answered."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from deploy.bulk.answering.base import CannotAnswer, Request, Source
from deploy.bulk.photo import Cause, Failed, Outcome
from deploy.bulk.settings import Description

_ROOT = Path(__file__).resolve().parents[3]
_READY_SECONDS = 300.0  # to load a network on a busy machine
_ANSWER_SECONDS = 600.0  # after which a process that returns nothing hangs
_ALONE = 2  # how often a photo may kill it when it is answered alone
_END_SECONDS = 5.0

Photos = Iterable[tuple[int, bytes | Failed]]


class AnsweringProcess:
    """Answers photos in a process that is started again when it dies."""

    def __init__(self, source: Source, request: Request) -> None:
        """Starts the process; CannotAnswer where nothing can be answered."""
        self._source = source
        self._request = request
        # One more than are answered at once, so that the next one lies ready.
        self._most = 1 + source.concurrency
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self.description = self._start()

    def answer(self, photos: Photos) -> Iterator[tuple[int, Outcome]]:
        """Each photo's outcome by its key, as they come. CannotAnswer where no photo can be answered.

        Those that could not be read are passed on.
        """
        waiting: dict[int, bytes] = {}
        for key, data in photos:
            if isinstance(data, Failed):
                yield key, data
                continue
            waiting[key] = data
            try:
                self._send(key, data)
                while len(waiting) >= self._most:
                    answered, outcome = self._receive()
                    del waiting[answered]
                    yield answered, outcome
            except _Died:
                yield from self._one_by_one(waiting)
                waiting = {}
        try:
            while waiting:
                answered, outcome = self._receive()
                del waiting[answered]
                yield answered, outcome
        except _Died:
            yield from self._one_by_one(waiting)

    def close(self) -> None:
        """End the process, at once if need be."""
        process, connection, self._process, self._connection = self._process, self._connection, None, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.send(None)
            connection.close()
        if process is not None:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # -- within

    def _one_by_one(self, suspects: dict[int, bytes]) -> Iterator[tuple[int, Outcome]]:
        """Answers the photos that were under way when the process died; one that kills it again fails."""
        deaths: Counter[int] = Counter()
        left = deque(suspects)
        while left:
            key = left[0]
            try:
                if self._process is None:
                    self._start()
                self._send(key, suspects[key])
                _, outcome = self._receive()
            except _Died as death:
                deaths[key] += 1
                if deaths[key] < _ALONE:
                    continue
                outcome = Failed(
                    cause=Cause.DEADLY,
                    reason=f"the process that answered it {death} each time, as for lack of memory",
                )
            left.popleft()
            yield key, outcome
        if self._process is None:
            self._start()

    def _start(self) -> Description:
        ours, theirs = socket.socketpair()
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
        )
        for library in ("OMP", "OPENBLAS"):  # whose further threads would spin on cores that workers have
            environment.setdefault(f"{library}_NUM_THREADS", "1")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            ours.close()
            raise CannotAnswer(
                f"the process that answers can't be started ({error.strerror or error})"
            ) from error
        finally:
            theirs.close()
        self._connection = Connection(ours.detach())
        try:
            self._write((self._source, self._request))
            found = self._read(_READY_SECONDS)
        except _Died as death:
            raise CannotAnswer(
                f"the process that answers {death} before its first photo: is there memory left for it?"
            ) from None
        if isinstance(found, CannotAnswer):
            self.close()
            raise found
        description: Description = found
        return description

    def _send(self, key: int, data: bytes) -> None:
        self._write((key, data))

    def _receive(self) -> tuple[int, Outcome]:
        key, outcome = self._read(_ANSWER_SECONDS)
        if isinstance(outcome, CannotAnswer):
            raise outcome
        return key, outcome

    def _write(self, item: Any) -> None:
        if self._connection is None:
            raise _Died("ended")
        try:
            self._connection.send(item)
        except OSError:
            raise self._death() from None

    def _read(self, seconds: float) -> Any:
        if self._connection is None:
            raise _Died("ended")
        try:
            if not self._connection.poll(seconds):
                if self._process is not None:
                    self._process.kill()
                self._death()
                raise _Died(f"did not return within {seconds:.0f} s")
            return self._connection.recv()
        except (EOFError, OSError):
            raise self._death() from None

    def _death(self) -> "_Died":
        """How the process ended, which is gone after this."""
        process, connection, self._process, self._connection = self._process, self._connection, None, None
        if connection is not None:
            connection.close()
        if process is None:
            return _Died("ended")
        try:
            status = process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        if status < 0:
            return _Died(f"was killed ({signal.Signals(-status).name})")
        return _Died(f"ended with status {status}")


class _Died(Exception):
    """The process is gone; the message is a predicate."""


def _has_descriptor(stream: Any) -> bool:
    try:
        return stream is not None and stream.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False
