"""States of processes come from /proc: dead, frozen and alive ones are told apart without asking them."""

import errno
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.gateway.backends import processes
from deploy.gateway.backends.processes import State
from tests.helpers.fake_tritons import process_of


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


def test_a_stopped_process_is_frozen_until_it_goes_on(child: "subprocess.Popen[bytes]") -> None:
    process = process_of(child.pid, name="it")
    assert processes.state_of(process) is State.ALIVE
    child.send_signal(signal.SIGSTOP)
    assert eventually(lambda: processes.state_of(process) is State.FROZEN)
    child.send_signal(signal.SIGCONT)
    assert eventually(lambda: processes.state_of(process) is State.ALIVE)


def test_a_zombie_is_dead_and_so_is_one_that_is_gone(child: "subprocess.Popen[bytes]") -> None:
    process = process_of(child.pid, name="it")
    child.kill()
    assert eventually(lambda: processes.state_of(process) is State.DEAD)  # nobody has waited for it
    child.wait()
    assert processes.state_of(process) is State.DEAD


def test_another_process_with_the_number_is_not_the_same(child: "subprocess.Popen[bytes]") -> None:
    earlier = processes.Process(pid=child.pid, started=1, name="an earlier one")
    assert processes.state_of(earlier) is State.DEAD


def test_a_process_whose_state_cannot_be_read_is_not_taken_for_dead(
    child: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    process = process_of(child.pid, name="one")

    def no_descriptor(*_: object, **__: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "read_text", no_descriptor)
    assert processes.state_of(process) is State.ALIVE


def test_a_dead_process_is_reported_before_a_frozen_one(child: "subprocess.Popen[bytes]") -> None:
    frozen = process_of(child.pid, name="frozen")
    child.send_signal(signal.SIGSTOP)
    assert eventually(lambda: processes.state_of(frozen) is State.FROZEN)
    dead = processes.Process(pid=child.pid, started=1, name="dead")
    assert processes.first_not_alive([frozen, dead]) == (dead, State.DEAD)
    assert processes.first_not_alive([frozen]) == (frozen, State.FROZEN)
    assert processes.first_not_alive([]) is None


def test_a_family_is_found_with_the_models_names(tmp_path: object) -> None:
    stub = "import time, sys; time.sleep(600)"
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {stub!r}, '/somewhere/models/face (one)/1/model.py'])\n"
        "print(flush=True); time.sleep(600)"
    )
    guard = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {parent!r}])\n"
        "time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", guard], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        names = ["guard", "tritonserver", "the process of the model face (one)"]
        # A process that has just begun has no command line for a moment.
        assert eventually(lambda: [each.name for each in processes.family(process.pid)] == names)
        family = processes.family(process.pid)
        assert all(processes.state_of(each) is State.ALIVE for each in family)
        assert processes.proportional_bytes(family) > 1 << 20
    finally:
        for each in processes.family(process.pid):
            subprocess.run(["kill", "-9", str(each.pid)], check=True)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    assert processes.family(process.pid) == ()
