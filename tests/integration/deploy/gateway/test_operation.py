"""A gateway with its Triton comes up, drains, swaps, is restarted and leaves nothing, with tiny models."""

import contextlib
import io
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.embedded import (
    CannotStart,
    ModelFailed,
    PortTaken,
    RepositoryDamaged,
    RepositoryNotFound,
    ServerDied,
    StartCancelled,
)
from deploy.gateway.operation.control import ControlError
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring import processes
from tests.helpers import slow_repository, tiny_repository
from tests.helpers.bystanders import ask, eventually, stub_of
from tests.helpers.paths import ROOT
from tests.helpers.server_commands import until_ready
from tests.helpers.slow_repository import TAKES_LONG, crop


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return slow_repository.write(tmp_path / "repository", instances=2)


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def everything_of(server: GatewayServer) -> set[int]:
    """The process ids of a gateway: supervisor, main process, guards, Tritons, models' processes."""
    return {server.supervisor_pid, *processes.processes_below(server.supervisor_pid)}


def regions_of(main_process: int) -> list[str]:
    return [path.name for path in Path("/dev/shm").glob(f"qface_{main_process}_*")]


def code_of(error: Any) -> grpc.StatusCode:
    code: grpc.StatusCode = error.code()
    return code


def command(
    repository: Path, folder: Path, *further: str
) -> contextlib.AbstractContextManager["subprocess.Popen[str]"]:
    """`python -m deploy.gateway` on free ports, without a standby."""
    where = ("--grpc-port", "0", "--http-port", "0", "--control", str(folder / "control"))
    return until_ready(
        "deploy.gateway", "--repository", str(repository), *where, "--standby", "never", *further
    )


# -- start and stop ---------------------------------------------------------------------------------


def test_answers_and_leaves_neither_a_process_nor_shared_memory_nor_a_file(repository: Path) -> None:
    with GatewayServer(repository) as server:
        assert server.models == ("echo",)
        assert ask(server.grpc_address, crop(1)).raw_output_contents == crop(1).raw_input_contents
        page = urllib.request.urlopen(f"http://{server.http_address}/v2/health/ready", timeout=30)
        assert page.status == 200
        found, main_process = everything_of(server), server.pid
        assert len(found) >= 6
        assert regions_of(main_process)
        sockets = [Path(each["address"].removeprefix("unix:")).parent for each in server.status()["tritons"]]
        assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in sockets)
    assert not any(map(is_running, found))
    assert not regions_of(main_process)
    assert not any(folder.exists() for folder in sockets)


def test_is_stopped_when_the_block_fails(repository: Path) -> None:
    found: set[int] = set()
    with contextlib.suppress(ZeroDivisionError), GatewayServer(repository) as server:
        found = everything_of(server)
        _ = 1 / 0
    assert found
    assert not any(map(is_running, found))


def test_nothing_but_unix_sockets_leads_to_triton(repository: Path) -> None:
    with GatewayServer(repository) as server:
        tritons = processes.processes_below(server.pid)
        listening = subprocess.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True)
        inodes = {line.split()[9] for line in listening.stdout.splitlines() if " 0A " in line}
        held = {
            str(link.readlink()).removeprefix("socket:[").removesuffix("]")
            for pid in tritons
            for link in Path(f"/proc/{pid}/fd").iterdir()
            if str(link.readlink()).startswith("socket:[")
        }
        assert inodes
        assert not inodes & held


def test_the_child_s_errors_are_raised_as_those_of_the_embedded_server(tmp_path: Path) -> None:
    with pytest.raises(RepositoryNotFound, match="make repository"):
        GatewayServer(tmp_path / "none").start()
    wrong = tiny_repository.write(tmp_path / "wrong", wrong=tiny_repository.NOT_LOADING)
    with pytest.raises(ModelFailed, match="a_module_that_nobody_wrote") as failed:
        GatewayServer(wrong).start()
    assert failed.value.model == "wrong"
    (wrong / "models" / "wrong" / "1" / "model.py").write_text("# changed")
    with pytest.raises(RepositoryDamaged, match=r"wrong/1/model\.py was changed"):
        GatewayServer(wrong).start()
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken, match="--grpc-port"):
        GatewayServer(wrong, grpc_port=other.getsockname()[1]).start()


@pytest.mark.parametrize("where", ["module", "initialize"])
def test_a_model_that_kills_its_process_as_it_loads_is_named_and_not_tried_again(
    tmp_path: Path, where: str
) -> None:
    killer = "import os\nos.kill(os.getpid(), 9)\n" + tiny_repository.ECHO
    if where == "initialize":
        killer = tiny_repository.ECHO.replace(
            "    def execute",
            "    def initialize(self, args):\n        import os\n        os._exit(3)\n\n    def execute",
        )
    repository = tiny_repository.write(tmp_path / "one", well=tiny_repository.ECHO, killer=killer)
    log = io.StringIO()
    with pytest.raises(ModelFailed, match="model 'killer' failed to load") as failed:
        GatewayServer(repository, log=log).start()
    assert failed.value.model == "killer"
    assert log.getvalue().count("qface: starting") == 1


def test_an_option_that_triton_lacks_is_named(repository: Path) -> None:
    with pytest.raises(CannotStart, match="--no-such-option"):
        GatewayServer(repository, arguments=["--", "--no-such-option=1"]).start()


def test_a_start_can_be_called_off_and_leaves_nothing(tmp_path: Path) -> None:
    slow = "import time\ntime.sleep(3600)\n" + tiny_repository.ECHO
    server = GatewayServer(
        tiny_repository.write(tmp_path / "slow", echo=slow), arguments=["--grace-seconds", "1"]
    )
    server.start(wait=False)
    found = everything_of(server)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(StartCancelled):
        server.wait_until_ready(cancel=cancel)
    server.stop()
    assert not any(map(is_running, found))


def test_while_it_starts_requests_are_refused_and_told_when_to_come_back(tmp_path: Path) -> None:
    slow = "import time\ntime.sleep(3)\n" + tiny_repository.ECHO
    server = GatewayServer(tiny_repository.write(tmp_path / "slow", echo=slow))
    server.start(wait=False)
    try:
        with pytest.raises(grpc.RpcError) as refused:
            ask(server.grpc_address, crop(1))
        assert code_of(refused.value) is grpc.StatusCode.UNAVAILABLE
        assert "grpc-retry-pushback-ms" in dict(refused.value.trailing_metadata())  # type: ignore[attr-defined]
        server.wait_until_ready()
        assert ask(server.grpc_address, crop(1)).raw_output_contents
    finally:
        server.stop()


# -- drain ------------------------------------------------------------------------------------------


class Background:
    """Requests that are sent from threads of their own."""

    def __init__(self, address: str) -> None:
        self._pool = ThreadPoolExecutor(16)
        self._address = address

    def send(self, request: v2.ModelInferRequest) -> "Future[v2.ModelInferResponse]":
        return self._pool.submit(ask, self._address, request)


def test_what_was_accepted_is_answered_and_new_work_is_refused(repository: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with GatewayServer(repository, arguments=["--ready-file", str(ready), "--queue-seconds", "30"]) as server:
        assert ready.read_text() == f"{server.grpc_address}\n"
        background = Background(server.grpc_address)
        sent = [background.send(crop(TAKES_LONG, 20)) for _ in range(4)]
        assert eventually(lambda: server.status()["in_flight"] + server.status()["waiting"] == 4)
        with stub_of(server.grpc_address) as stub:  # connected before
            assert stub.ServerReady(v2.ServerReadyRequest(), timeout=30).ready
            os.kill(server.supervisor_pid, signal.SIGTERM)
            assert eventually(lambda: not ready.exists())
            assert not stub.ServerReady(v2.ServerReadyRequest(), timeout=30).ready
            with pytest.raises(grpc.RpcError) as refused:
                stub.ModelInfer(crop(1), timeout=30)
        assert code_of(refused.value) is grpc.StatusCode.UNAVAILABLE
        assert "grpc-retry-pushback-ms" in dict(refused.value.trailing_metadata())  # type: ignore[attr-defined]
        for answer in sent:
            assert answer.result(timeout=60).raw_output_contents
        with pytest.raises(ServerDied, match="status 0"):
            server.wait(timeout=60)


def test_a_second_signal_cuts_the_drain_short(repository: Path, tmp_path: Path) -> None:
    with command(repository, tmp_path, "--drain-seconds", "3600", "--grace-seconds", "3600") as process:
        address = address_of(tmp_path)
        sent = Background(address).send(crop(TAKES_LONG, 255))
        assert eventually(lambda: control(tmp_path, "status")["in_flight"] == 1)
        process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not control(tmp_path, "status")["ready"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        with pytest.raises(grpc.RpcError):
            sent.result(timeout=60)


def control(folder: Path, method: str) -> dict[str, Any]:
    from deploy.gateway.operation.control import call

    return call(folder / "control", method, timeout=60)


def address_of(folder: Path) -> str:
    return str(control(folder, "status")["addresses"]["grpc"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_everything_on_a_signal(
    repository: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with command(repository, tmp_path) as process:
        found = processes.processes_below(process.pid)
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
        assert not any(map(is_running, found))
        assert list(tmp_path.iterdir()) == [repository]


def test_the_control_commands_work_from_a_shell(repository: Path, tmp_path: Path) -> None:
    other = tiny_repository.write(tmp_path / "other", second=tiny_repository.ECHO)
    with command(repository, tmp_path):

        def run(*words: str) -> "subprocess.CompletedProcess[str]":
            line = [sys.executable, "-m", "deploy.gateway", *words, "--control", str(tmp_path / "control")]
            return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)

        assert '"echo"' in run("status").stdout
        assert '"second"' in run("swap", str(other)).stdout
        assert '"echo"' in run("rollback").stdout
        assert run("reload").returncode == 0
        failed = run("swap", str(tmp_path / "absent"))
        assert failed.returncode == 1
        assert failed.stderr.startswith("qface: no model repository is assembled at")


# -- swap -------------------------------------------------------------------------------------------


def test_swap_and_rollback_and_a_failing_swap_that_changes_nothing(tmp_path: Path, repository: Path) -> None:
    other = tiny_repository.write(tmp_path / "other", second=tiny_repository.ECHO)
    wrong = tiny_repository.write(tmp_path / "wrong", wrong=tiny_repository.NOT_LOADING)
    with GatewayServer(repository) as server:
        with pytest.raises(ControlError, match="nothing to go back to"):
            server.rollback()
        assert server.swap(other)["models"] == ["second"]
        assert ask(server.grpc_address, crop(1, model="second")).raw_output_contents
        with pytest.raises(grpc.RpcError) as unknown:
            ask(server.grpc_address, crop(1))
        assert code_of(unknown.value) is grpc.StatusCode.NOT_FOUND
        with pytest.raises(ControlError, match="a_module_that_nobody_wrote"):
            server.swap(wrong)
        assert server.status()["repository"] == str(other)
        assert server.rollback()["models"] == ["echo"]
        assert ask(server.grpc_address, crop(1)).raw_output_contents


def test_swap_takes_a_link_as_it_is_now(tmp_path: Path, repository: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(repository)
    other = tiny_repository.write(tmp_path / "other", second=tiny_repository.ECHO)
    with GatewayServer(link) as server:
        link.unlink()
        link.symlink_to(other)
        os.kill(server.pid, signal.SIGKILL)
        server.wait_until_ready()
        assert server.status()["models"] == ["echo"]  # a restart is no swap
        assert server.swap(link)["models"] == ["second"]


# -- what dies is started again ---------------------------------------------------------------------


def test_a_main_process_that_was_killed_comes_back_on_its_port_with_what_it_served_last(
    tmp_path: Path, repository: Path
) -> None:
    other = tiny_repository.write(tmp_path / "other", second=tiny_repository.ECHO)
    with GatewayServer(repository) as server:
        server.swap(other)
        before, address, pid = everything_of(server), server.grpc_address, server.pid
        os.kill(pid, signal.SIGKILL)
        server.wait_until_ready()
        assert server.grpc_address == address
        assert ask(address, crop(1, model="second")).raw_output_contents
        assert server.status()["restarts"] == 1
        left = before - {server.supervisor_pid}
        assert eventually(lambda: not any(map(is_running, left)))
        assert eventually(lambda: not regions_of(pid))
        assert server.rollback()["models"] == ["echo"]


@pytest.mark.heavy
def test_a_main_process_that_was_stopped_is_replaced(repository: Path) -> None:
    with GatewayServer(repository) as server:
        pid = server.pid
        os.kill(pid, signal.SIGSTOP)
        server.wait_until_ready()
        assert server.pid != pid
        assert ask(server.grpc_address, crop(1)).raw_output_contents


def test_nothing_outlives_a_supervisor_that_was_killed(repository: Path) -> None:
    server = GatewayServer(repository)
    server.start()
    found, main_process = everything_of(server), server.pid
    try:
        os.kill(server.supervisor_pid, signal.SIGKILL)
        assert eventually(lambda: not any(map(is_running, found - {server.supervisor_pid})))
        assert eventually(lambda: not regions_of(main_process))
    finally:
        server.stop()


def test_a_gateway_ends_with_the_process_that_started_it(repository: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from deploy.gateway.operation.service import GatewayServer
server = GatewayServer(Path(sys.argv[1]))
server.start()
print(server.supervisor_pid, server.pid, server.triton_pid, flush=True)
time.sleep(3600)
"""
    starter = subprocess.Popen(
        [sys.executable, "-c", program, str(repository)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    with starter.stdout:
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        assert len(pids) == 3
        starter.kill()
        starter.wait()
        assert eventually(lambda: not any(map(is_running, pids)))


def test_logs_are_opened_anew(repository: Path, tmp_path: Path) -> None:
    logs = {"--log": tmp_path / "triton.log", "--access-log": tmp_path / "access.log"}
    with GatewayServer(repository, arguments=[str(word) for pair in logs.items() for word in pair]) as server:
        ask(server.grpc_address, crop(1))
        assert eventually(lambda: all(path.stat().st_size for path in logs.values()))
        for path in logs.values():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            path.rename(path.with_suffix(".1"))
        server.reload()
        ask(server.grpc_address, crop(1))
        assert eventually(lambda: all(path.exists() for path in logs.values()))
