"""Supervisor: starts the gateway's processes, starts again what died, and lets nothing outlive it.

Standard library only, so that it stays small and has little that could fail. What it starts reports through
a pipe (`reports.py`): a heartbeat a second, that it is ready, or why it could not start. A process that
ended, or gave no heartbeat, is started again after a delay that grows; one that never stays up is given up.
"""

import contextlib
import ctypes
import dataclasses
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deploy.gateway.operation import reports
from deploy.gateway.operation.console import fail, log
from deploy.gateway.operation.systemd_notify import notify

COULD_NOT_START = 2  # exit status of a process that would only fail again
_NO_ROOM = "NoRoom"  # the error of one that only lacks room, which there may be at any time
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TICK = 1.0  # seconds between looks at the clock


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patience:
    """How long is waited, in seconds, and how often something is started again."""

    restarts: int = 5  # in a row
    settled: float = 60.0  # ready for so long, a process begins a new row
    first_delay: float = 0.25  # before a restart; doubled each time
    longest_delay: float = 10.0
    heartbeat: float = 15.0  # without one, a process hangs
    first_heartbeat: float = 60.0
    stop: float = 65.0  # from the signal to stop until what is left is killed
    left_over: float = 20.0  # for what a killed process leaves to end by itself


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChildCommand:
    """A process to keep running."""

    name: str  # in the log, "the gateway"
    # From the descriptor that it reports to, and how often it was started before.
    command: Callable[[int, int], Sequence[str]]


class _Child:
    """One process, as often as it is started."""

    def __init__(self, command: ChildCommand, patience: Patience) -> None:
        self.name = command.name
        self._command = command.command
        self._patience = patience
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.descriptor = -1  # where its reports are read
        self.reader = reports.ReportReader()
        self.deadline = 0.0  # of its next heartbeat
        self.ready_since: float | None = None
        self.was_ready = False  # in any of its lives
        self.failure: dict[str, Any] | None = None  # its report of it
        self.ended_in_a_row = 0
        self.start_at: float | None = 0.0  # when it is to be started; None while it runs
        self.hung = False
        self.reported = False  # so its handlers of signals are in place

    def start(self, now: float) -> None:
        self.descriptor, writes = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(writes, False)  # its event loop never waits for us
        try:
            self.process = subprocess.Popen(
                self._command(writes, self.starts),
                pass_fds=(writes,),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the supervisor only, which passes it on
                preexec_fn=_in_child,
            )
        finally:
            os.close(writes)
        self.starts += 1
        self.reader = reports.ReportReader()
        self.deadline = now + self._patience.first_heartbeat
        self.ready_since, self.failure, self.hung, self.reported = None, None, False, False
        self.start_at = None

    def ended(self, now: float) -> None:
        """After its end: counts it, and plans the next start."""
        if self.ready_since is not None and now - self.ready_since >= self._patience.settled:
            self.ended_in_a_row = 0
        self.ended_in_a_row += 1
        if self.was_ready and (self.failure or {}).get("error") == _NO_ROOM:
            self.ended_in_a_row = min(self.ended_in_a_row, self._patience.restarts)
        self.start_at = now + self.delay
        os.close(self.descriptor)
        self.process, self.descriptor = None, -1

    @property
    def delay(self) -> float:
        """Seconds before the next start."""
        return min(
            self._patience.first_delay * 2.0 ** (self.ended_in_a_row - 1), self._patience.longest_delay
        )

    def signal(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)


class Supervisor:
    """Keeps processes running until a signal, or until one of them can't be kept.

    parent        a stream socket to whoever started this; what is reported goes there, and when its
                  other end closes, everything ends at once
    on_end        called with the name of a process whenever one ended
    hang_up_ends  whether SIGHUP is the end of the terminal, and so of this; else it is passed on
    """

    def __init__(
        self,
        children: Sequence[ChildCommand],
        *,
        patience: Patience | None = None,
        parent: socket.socket | None = None,
        on_end: Callable[[str], None] = lambda name: None,
        hang_up_ends: bool = False,
    ) -> None:
        self._patience = patience or Patience()
        self._children = [_Child(child, self._patience) for child in children]
        self._parent = parent
        self._to_parent = reports.Reporter(parent.fileno() if parent is not None else None)
        self._on_end = on_end
        self._hang_up_ends = hang_up_ends
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []
        self._status: int | None = None  # what `run` returns once all have ended; None while serving
        self._kill_at = float("inf")
        self._stops = 0
        self._looked = time.monotonic()

    def run(self) -> int:
        """Returns 0 after an ordered stop, 2 if a process could not start, 1 if one was given up."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what a killed process leaves comes to us
        wake, alarm = os.pipe()
        for end in (wake, alarm):
            os.set_blocking(end, False)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        before_alarm = signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        self._selector.register(wake, selectors.EVENT_READ)
        if self._parent is not None:
            self._selector.register(self._parent, selectors.EVENT_READ)
        try:
            while self._status is None or any(child.process for child in self._children):
                self._start_due()
                for key, _ in self._selector.select(self._timeout()):
                    if key.fd == wake:
                        with contextlib.suppress(BlockingIOError):
                            os.read(wake, 4096)
                    elif key.data is None:
                        self._read_parent()
                    else:
                        self._read_reports(key.data)
                self._look()
            return self._status
        finally:
            for child in self._children:
                child.signal(signal.SIGKILL)
                if child.process is not None:
                    child.process.wait()
            self._end_left_overs()
            signal.set_wakeup_fd(before_alarm)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            os.close(wake)
            os.close(alarm)

    # -- events -----------------------------------------------------------------------------------

    def _on_signal(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            self._signals.append(number)

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if self._status is None and child.start_at is not None and child.start_at <= now:
                child.start(now)
                self._selector.register(child.descriptor, selectors.EVENT_READ, child)

    def _timeout(self) -> float:
        now = time.monotonic()
        moments = [child.start_at for child in self._children if child.start_at is not None]
        return max(0.0, min([_TICK, self._kill_at - now, *(moment - now for moment in moments)]))

    def _look(self) -> None:
        """What signals, the clock and the ends of processes call for."""
        now = time.monotonic()
        stood_still = now - self._looked - _TICK
        self._looked = now
        while self._signals:
            self._obey(self._signals.pop(0), now)
        if now >= self._kill_at:
            for child in self._children:
                child.signal(signal.SIGKILL)
        for child in self._children:
            if child.process is None:
                continue
            if stood_still > _TICK:  # this process was stopped, and so may have been its children
                child.deadline += stood_still
            if now > child.deadline and not child.hung:
                child.hung = True
                child.signal(signal.SIGKILL)
            if (status := child.process.poll()) is not None:
                self._read_reports(child)
                self._forget(child)
                self._ended(child, status, now)
        self._reap_adopted()

    def _obey(self, number: int, now: float) -> None:
        if number == signal.SIGHUP and self._hang_up_ends:
            number = signal.SIGTERM
        if number == signal.SIGHUP:
            for child in self._children:
                if child.reported:
                    child.signal(number)
            return
        self._stops += 1
        if self._stops == 1:
            notify("STOPPING=1")
            self._finish(0, now)
        # The second one hurries the processes, the third does not wait for them.
        passed_on = number if self._stops < 3 else signal.SIGKILL
        for child in self._children:
            child.signal(passed_on)

    def _finish(self, status: int, now: float) -> None:
        """From now on nothing is started; `run` returns `status` when all have ended."""
        if self._status is None:
            self._status = status
        self._kill_at = min(self._kill_at, now + self._patience.stop)

    def _ended(self, child: _Child, status: int, now: float) -> None:
        was_ready, failure = child.was_ready, child.failure
        how = _how(status) if not child.hung else f"without a heartbeat for {self._patience.heartbeat:g} s"
        child.ended(now)
        self._on_end(child.name)
        if self._status is not None:
            ordered = status in (0, -signal.SIGTERM, -signal.SIGINT)  # perhaps before it had handlers
            self._status = self._status or (0 if ordered else 1)
        elif status == COULD_NOT_START and not was_ready:
            # It has printed why.
            self._give_up(failure or {"sentence": f"{child.name} could not start"}, COULD_NOT_START, now)
        elif child.ended_in_a_row > self._patience.restarts:
            sentence = (
                f"{child.name} ended {child.ended_in_a_row} times in a row, the last time {how}: "
                "given up; what it wrote above has the reason"
            )
            fail(sentence, status=1)
            died = {"error": "ServerDied", "sentence": sentence, "kept": {"status": status}}
            self._give_up(failure or died, 1, now)
        else:
            log(
                f"{child.name} ended {how}; it is started again in {child.delay:g} s "
                f"({child.ended_in_a_row} of {self._patience.restarts} times in a row)"
            )

    def _give_up(self, failure: dict[str, Any], status: int, now: float) -> None:
        self._to_parent.send(reports.FAILED, **{k: v for k, v in failure.items() if k != "report"})
        self._finish(status, now)
        for child in self._children:
            child.signal(signal.SIGTERM)

    def _read_reports(self, child: _Child) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(child.descriptor, 65536):
                for report in child.reader.feed(data):
                    self._take(child, report)
            self._forget(child)  # closed: the process ends, or is found without a heartbeat

    def _forget(self, child: _Child) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.descriptor)

    def _take(self, child: _Child, report: dict[str, Any]) -> None:
        now = time.monotonic()
        child.deadline = now + self._patience.heartbeat
        child.reported = True
        kind = report["report"]
        if kind == reports.ALIVE:
            return
        if kind == reports.FAILED:
            child.failure = report
            return
        if kind == reports.READY:
            child.ready_since = child.ready_since or now
            child.was_ready = True
            notify("READY=1")
        self._to_parent.send(kind, **{key: value for key, value in report.items() if key != "report"})

    def _read_parent(self) -> None:
        assert self._parent is not None
        try:
            gone = not self._parent.recv(4096)
        except OSError:
            gone = True
        if gone:
            self._selector.unregister(self._parent)
            self._finish(1, time.monotonic())
            for child in self._children:
                child.signal(signal.SIGKILL)

    # -- what killed processes left ---------------------------------------------------------------

    def _adopted(self) -> list[int]:
        own = {child.process.pid for child in self._children if child.process is not None}
        path = Path(f"/proc/self/task/{os.getpid()}/children")
        found = [int(pid) for pid in path.read_text().split()] if path.exists() else []
        return [pid for pid in found if pid not in own]

    def _reap_adopted(self) -> list[int]:
        """Returns the adopted processes that still run; continues a frozen one, which may be a guard."""
        running = []
        for pid in self._adopted():
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    running.append(pid)
                    os.kill(pid, signal.SIGCONT)
        return running

    def _end_left_overs(self) -> None:
        """Guards end by themselves, since the pipe to their owner is closed; other processes are killed."""
        deadline = time.monotonic() + self._patience.left_over
        while running := self._reap_adopted():
            if time.monotonic() > deadline:
                for pid in running:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _in_child() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _how(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    with contextlib.suppress(ValueError):
        return f"by {signal.Signals(-status).name}"
    return f"by signal {-status}"
