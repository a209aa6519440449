"""The supervisor keeps its processes running, gives up what can't be kept, and leaves nothing behind."""

import contextlib
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

# Runs a supervisor over one child; what the child does is the source in argv[1], with `report` and `starts`.
SUPERVISED = """
import json, socket, sys
from deploy.gateway.operation.supervisor import ChildCommand, Patience, Supervisor
source, patience = sys.argv[1], json.loads(sys.argv[2])
parent = socket.socket(fileno=int(sys.argv[3])) if len(sys.argv) > 3 else None
command = lambda descriptor, starts: (sys.executable, "-c", source, str(descriptor), str(starts))
child = ChildCommand(name="the child", command=command)
hang_up_ends = patience.pop("hang_up_ends", False)
patience = Patience(**patience)
sys.exit(Supervisor([child], patience=patience, parent=parent, hang_up_ends=hang_up_ends).run())
"""
CHILD = """
import json, os, signal, subprocess, sys, time
descriptor, starts = int(sys.argv[1]), int(sys.argv[2])
def report(kind, **fields):
    os.write(descriptor, json.dumps({"report": kind, **fields}).encode() + b"\\n")
def serve(seconds=3600):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        report("alive")
        time.sleep(0.05)
def on_signal(number, frame):
    print("child got", signal.Signals(number).name, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, on_signal)
signal.signal(signal.SIGINT, on_signal)
signal.signal(signal.SIGHUP, lambda number, frame: print("child got SIGHUP", flush=True))
print("child", os.getpid(), flush=True)
"""
QUICK = {"first_delay": 0.01, "longest_delay": 0.05, "restarts": 3}


class Supervised:
    """A supervisor in a process of its own, and what it and its child printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.printed: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def wait_for(self, pattern: str, *, seconds: float = 20.0) -> "re.Match[str]":
        """The first match in the lines that no other call has taken."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                self.printed.append(self._lines.get(timeout=left))
                if found := re.search(pattern, self.printed[-1]):
                    return found
        pytest.fail(f"nothing matched {pattern}: {self.printed}")

    def end(self) -> int:
        status = self.process.wait(timeout=20)
        self._reader.join(timeout=20)
        while not self._lines.empty():
            self.printed.append(self._lines.get())
        return status


@contextlib.contextmanager
def supervised(
    source: str, *, parent: socket.socket | None = None, **patience: float
) -> Iterator[Supervised]:
    further = [] if parent is None else [str(parent.fileno())]
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISED, CHILD + source, json.dumps({**QUICK, **patience}), *further],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=() if parent is None else (parent.fileno(),),
    )
    running = Supervised(process)
    try:
        yield running
    finally:
        process.kill()
        running.end()
        assert process.stdout is not None
        process.stdout.close()


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def eventually(holds: Callable[[], bool], *, seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_end_is_in_order(number: signal.Signals) -> None:
    with supervised("report('ready'); serve()") as running:
        pid = int(running.wait_for(r"child (\d+)")[1])
        running.process.send_signal(number)
        assert running.end() == 0
        assert any(f"child got {number.name}" in line for line in running.printed)
        assert not is_running(pid)


def test_a_hang_up_is_passed_on_and_ends_nothing() -> None:
    with supervised("report('ready'); print('up', flush=True); serve()") as running:
        running.wait_for("up")
        time.sleep(0.2)  # its first report is read
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("child got SIGHUP")
        assert running.process.poll() is None


def test_a_hang_up_of_its_terminal_ends_it() -> None:
    with supervised("report('ready'); print('up', flush=True); serve()", hang_up_ends=True) as running:
        running.wait_for("up")
        running.process.send_signal(signal.SIGHUP)
        assert running.end() == 0
        assert any("child got SIGTERM" in line for line in running.printed)


def test_what_was_killed_is_started_again_with_one_line() -> None:
    with supervised("report('ready'); serve()") as running:
        first = int(running.wait_for(r"child (\d+)")[1])
        os.kill(first, signal.SIGKILL)
        running.wait_for(r"the child ended by SIGKILL; it is started again in 0.01 s \(1 of 3 times")
        second = int(running.wait_for(r"child (\d+)")[1])
        assert second != first
        assert running.process.poll() is None


def test_what_never_stays_up_is_given_up_with_a_sentence() -> None:
    with supervised("sys.exit(7)") as running:
        assert running.end() == 1
    starts = [line for line in running.printed if re.match(r"child \d+", line)]
    assert len(starts) == 4
    delays = [float(found) for line in running.printed for found in re.findall(r"again in ([\d.]+) s", line)]
    assert delays == [0.01, 0.02, 0.04]
    assert "ended 4 times in a row, the last time with status 7: given up" in running.printed[-1]


def test_a_long_life_begins_a_new_row() -> None:
    source = "report('ready'); serve(0.3) if starts < 6 else serve()"
    with supervised(source, settled=0.2, restarts=1) as running:
        for _ in range(7):
            running.wait_for(r"child (\d+)")


def test_a_start_that_could_only_fail_again_is_not_repeated() -> None:
    ours, theirs = socket.socketpair()
    source = "report('failed', error='PortTaken', sentence='port 1 is taken'); sys.exit(2)"
    with ours, theirs, supervised(source, parent=theirs) as running:
        theirs.close()
        assert running.end() == 2
        [line] = ours.makefile().readlines()
    assert json.loads(line) == {"report": "failed", "error": "PortTaken", "sentence": "port 1 is taken"}
    assert len(running.printed) == 1


def test_a_restart_that_fails_so_is_repeated_since_it_was_ready_before() -> None:
    source = "sys.exit(2) if starts == 1 else report('ready'); serve(0.1) if starts == 0 else serve()"
    with supervised(source) as running:
        for _ in range(3):
            running.wait_for(r"child (\d+)")


def test_one_that_only_lacks_room_is_started_again_for_good() -> None:
    source = (
        "report('ready') if starts == 0 else report('failed', error='NoRoom', sentence='full');"
        "sys.exit(2 if starts else 1)"
    )
    with supervised(source) as running:
        for _ in range(7):  # QUICK gives up after three
            running.wait_for(r"child (\d+)")
        assert running.process.poll() is None


def test_one_that_hangs_is_killed_and_started_again() -> None:
    source = "report('ready'); time.sleep(3600) if starts == 0 else serve()"
    with supervised(source, heartbeat=0.5) as running:
        first = int(running.wait_for(r"child (\d+)")[1])
        running.wait_for(r"the child ended without a heartbeat for 0.5 s")
        running.wait_for(r"child (\d+)")
        assert not is_running(first)


def test_one_that_is_stopped_does_not_hold_up_the_end() -> None:
    with supervised("report('ready'); print('up', flush=True); serve()", heartbeat=0.5) as running:
        pid = int(running.wait_for(r"child (\d+)")[1])
        running.wait_for("up")
        os.kill(pid, signal.SIGSTOP)
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 1
        assert not is_running(pid)


def test_one_that_does_not_end_is_killed_in_the_end() -> None:
    source = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); report('ready'); print('up', flush=True); serve()"
    )
    with supervised(source, stop=0.3) as running:
        running.wait_for("up")
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 1


def test_after_a_stop_of_the_supervisor_itself_nothing_counts_as_hung() -> None:
    with supervised("report('ready'); serve()", heartbeat=2.5) as running:
        pid = int(running.wait_for(r"child (\d+)")[1])
        for number, seconds in ((signal.SIGSTOP, 4.0), (signal.SIGCONT, 1.0)):
            os.kill(running.process.pid, number)
            time.sleep(seconds)
        assert is_running(pid)


def test_nothing_outlives_a_supervisor_that_was_killed() -> None:
    with supervised("report('ready'); serve()") as running:
        pid = int(running.wait_for(r"child (\d+)")[1])
        running.process.kill()
        assert eventually(lambda: not is_running(pid))


def test_everything_ends_with_the_one_who_started_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, supervised("report('ready'); serve()", parent=theirs) as running:
        theirs.close()
        pid = int(running.wait_for(r"child (\d+)")[1])
        ours.close()
        assert running.end() == 1
        assert not is_running(pid)


def test_what_a_killed_process_leaves_ends_before_the_supervisor_does() -> None:
    source = "print('left', subprocess.Popen(['sleep', '3600']).pid, flush=True); report('ready'); serve()"
    with supervised(source, left_over=0.2) as running:
        pid = int(running.wait_for(r"child (\d+)")[1])
        left = int(running.wait_for(r"left (\d+)")[1])
        os.kill(pid, signal.SIGKILL)
        running.wait_for("left")  # the next one's
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 0
        assert not is_running(left)


def test_what_a_killed_process_leaves_ends_by_itself_though_it_was_frozen() -> None:
    guard = "import sys; sys.stdin.read(); print('tidied up', flush=True)"
    source = (
        f"guard = subprocess.Popen([sys.executable, '-c', {guard!r}], stdin=subprocess.PIPE)\n"
        "print('guard', guard.pid, flush=True); report('ready'); serve()"
    )
    with supervised(source) as running:
        pid = int(running.wait_for(r"child (\d+)")[1])
        frozen = int(running.wait_for(r"guard (\d+)")[1])
        os.kill(frozen, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        try:
            running.wait_for("tidied up")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(frozen, signal.SIGKILL)  # it holds the pipe that is read


def test_the_state_goes_to_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sink:
        sink.bind(str(path))
        sink.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        with supervised("report('ready'); serve()") as running:
            assert sink.recv(100) == b"READY=1"
            running.process.send_signal(signal.SIGTERM)
            assert sink.recv(100) == b"STOPPING=1"
            assert running.end() == 0
