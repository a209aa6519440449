"""The embedded server and its command end, or are ended, and leave nothing: neither processes nor memory."""

import contextlib
import os
import signal
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from deploy.embedded import (
    EmbeddedServer,
    ServerDied,
)
from tests.helpers import tiny_repository
from tests.helpers.bystanders import eventually
from tests.helpers.embedded_servers import command, processes_of, regions_of, remember_others


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    return tiny_repository.write(tmp_path / "repository", echo=tiny_repository.ECHO)


@pytest.fixture(autouse=True)
def _servers_of_other_tests() -> None:
    remember_others()


def test_a_server_that_was_killed_is_reported(echo: Path) -> None:
    with EmbeddedServer(echo) as server:
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ServerDied, match="SIGKILL") as caught:
            server.wait(timeout=15)
        assert caught.value.status == -signal.SIGKILL
        assert not processes_of(echo)
        assert not regions_of(os.getpid())


def test_a_server_does_not_outlive_its_guard(echo: Path, tmp_path: Path) -> None:
    with EmbeddedServer(echo, sockets=tmp_path / "sockets") as server:
        [guard] = [pid for pid, line in processes_of(echo).items() if "process_guard.py" in line]
        os.kill(guard, signal.SIGKILL)
        with pytest.raises(ServerDied):
            server.wait(timeout=15)
        assert eventually(lambda: not processes_of(echo))
    assert not regions_of(os.getpid())
    assert not (tmp_path / "sockets").exists()


def test_a_server_behind_sockets_does_not_wait_for_anything_when_its_launcher_is_gone(
    echo: Path, tmp_path: Path
) -> None:
    """Nobody else could get an answer, and the next one needs its memory and its processor time."""
    with EmbeddedServer(echo, sockets=tmp_path / "sockets", grace=3600) as server:
        os.kill(server.pid, signal.SIGSTOP)  # it would not obey a SIGTERM
        assert server._guard is not None
        assert server._guard.stdin is not None
        server._guard.stdin.close()
        assert eventually(lambda: not processes_of(echo))


def test_the_command_exits_with_1_when_the_server_was_killed(echo: Path) -> None:
    with command(echo) as process:
        [pid] = [pid for pid, line in processes_of(echo).items() if line.split()[0].endswith("/tritonserver")]
        os.kill(pid, signal.SIGKILL)
        assert process.wait(timeout=15) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_everything_on_a_signal(echo: Path, number: signal.Signals) -> None:
    with command(echo) as process:
        assert processes_of(echo)
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
        assert not processes_of(echo)
        assert not regions_of(process.pid)


def test_the_command_drains_with_its_ready_file_gone(echo: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with command(echo, "--ready-file", str(ready), "--drain-seconds", "3600") as process:
        assert eventually(ready.exists)
        address = ready.read_text().strip()
        process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not ready.exists())
        with contextlib.closing(triton.InferenceServerClient(address)) as client:
            assert client.is_model_ready("echo", client_timeout=10)  # it still answers
        process.send_signal(signal.SIGTERM)  # a second one cuts the draining short
        assert process.wait(timeout=30) == 0


def test_nothing_outlives_a_command_that_was_killed(echo: Path) -> None:
    with command(echo) as process:
        process.kill()
        process.wait()
        assert eventually(lambda: not processes_of(echo))
        assert eventually(lambda: not regions_of(process.pid))


def test_is_stopped_when_the_block_fails(echo: Path) -> None:
    with pytest.raises(ZeroDivisionError), EmbeddedServer(echo):
        _ = 1 / 0
    assert not processes_of(echo)
