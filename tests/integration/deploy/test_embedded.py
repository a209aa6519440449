"""The embedded server is started, watched and stopped in order: with the real server, and tiny models."""

import contextlib
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from build.stages.repository_files import publish
from deploy.embedded import (
    CanaryFailed,
    CannotStart,
    EmbeddedServer,
    EmbeddedServerError,
    LibraryNotFound,
    ModelFailed,
    PortTaken,
    RepositoryDamaged,
    RepositoryNotFound,
    StartCancelled,
    StartTimeout,
)
from deploy.embedded.installations.wheel import WheelTriton
from tests.helpers import tiny_repository
from tests.helpers.embedded_servers import HURRIED, processes_of, regions_of, remember_others
from tests.helpers.paths import ROOT


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    return tiny_repository.write(tmp_path / "repository", echo=tiny_repository.ECHO)


@pytest.fixture(autouse=True)
def _servers_of_other_tests() -> None:
    remember_others()


def listening_ports(pid: int) -> list[str]:
    """TCP addresses, in the kernel's way of writing, on which a process listens."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(descriptor.readlink()))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.append(fields[1])
    return found


def test_answers_and_leaves_neither_a_process_nor_shared_memory(echo: Path) -> None:
    with EmbeddedServer(echo) as server:
        crop = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(1, 2, 5, 3)
        tensor = triton.InferInput("crop", crop.shape, "UINT8")
        tensor.set_data_from_numpy(crop)
        with contextlib.closing(triton.InferenceServerClient(server.grpc_address)) as client:
            answer = client.infer("echo", [tensor], client_timeout=10).as_numpy("answer")
        np.testing.assert_array_equal(answer, crop)
        assert processes_of(echo)
        assert regions_of(os.getpid())
    assert not processes_of(echo)
    assert not regions_of(os.getpid())


def test_the_models_import_the_repository_s_library_from_wherever_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's Python looks into its working directory first, and not at PYTHONPATH."""
    model = "import of_the_repository\n" + tiny_repository.ECHO
    repository = tiny_repository.write(tmp_path / "repository", echo=model)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "of_the_repository.py").write_text("raise ImportError('not this one')")
    (elsewhere / "json.py").write_text("raise ImportError('nor this one')")
    monkeypatch.chdir(elsewhere)
    with EmbeddedServer(repository, cache=Path("cache"), grace=HURRIED) as server:
        assert server.models == ("echo",)


def test_a_path_that_a_shell_would_take_apart_is_served_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "my faces; (2) $HOME"
    repository = tiny_repository.write(folder / "repository", echo=tiny_repository.ECHO)
    with EmbeddedServer(repository, cache=folder / "cache", start_timeout=30, grace=HURRIED) as server:
        assert server.models == ("echo",)
        assert [name for name in regions_of(os.getpid()) if name.endswith("_models")]
    assert not regions_of(os.getpid())


def test_a_proxy_in_the_environment_is_not_asked_for_this_machine(
    echo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with EmbeddedServer(echo, start_timeout=20, grace=HURRIED) as server:
        assert server.running


def test_without_a_port_for_it_there_is_no_http(echo: Path) -> None:
    with EmbeddedServer(echo, grace=HURRIED) as server:
        assert not server.speaks_http
        with pytest.raises(EmbeddedServerError, match="http_port"):
            _ = server.http_address
    with (
        EmbeddedServer(echo, http_port=0, grace=HURRIED) as server,
        urllib.request.urlopen(f"http://{server.http_address}/v2/health/ready", timeout=10) as answer,
    ):
        assert answer.status == 200


def test_on_sockets_only_this_user_gets_to_the_server(echo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    with EmbeddedServer(echo, sockets=folder, grace=HURRIED) as server:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert server.grpc_address.startswith(f"unix:{folder}/")
        with contextlib.closing(triton.InferenceServerClient(server.grpc_address)) as client:
            assert client.is_model_ready("echo", client_timeout=10)
        assert not listening_ports(server.pid)
    assert not folder.exists()


def test_pictures_in_shared_memory_and_in_dumps_are_for_nobody_else(echo: Path) -> None:
    with EmbeddedServer(echo, grace=HURRIED) as server:
        regions = [Path("/dev/shm") / name for name in regions_of(os.getpid())]
        assert regions
        assert {stat.S_IMODE(region.stat().st_mode) for region in regions} == {0o600}
        crop = np.full((1, 64, 64, 3), 173, np.uint8)
        tensor = triton.InferInput("crop", crop.shape, "UINT8")
        tensor.set_data_from_numpy(crop)
        with contextlib.closing(triton.InferenceServerClient(server.grpc_address)) as client:
            client.infer("echo", [tensor], client_timeout=10)
        limits = Path(f"/proc/{server.pid}/limits").read_text()
        assert re.search(r"^Max core file size +[01] +[01] ", limits, re.MULTILINE)
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(region.open("rb")) for region in regions]
            row = bytes([173]) * 64
            assert any(row in region.read() for region in opened)
            server.kill()
            server.stop()
            for region in opened:  # as somebody sees it who still has it open
                region.seek(0)
                assert not any(region.read())


@pytest.mark.parametrize("again", [False, True])
def test_a_start_ends_at_once_when_its_repository_is_removed_or_replaced(echo: Path, again: bool) -> None:
    def remove(_server: EmbeddedServer) -> None:
        echo.rename(echo.with_name("moved"))
        if again:
            tiny_repository.write(echo, echo=tiny_repository.ECHO)

    began = time.monotonic()
    with pytest.raises(RepositoryNotFound, match="removed or replaced"):
        EmbeddedServer(echo, start_timeout=600, grace=HURRIED).start(announce=remove)
    assert time.monotonic() - began < 300
    assert not processes_of(echo)


def test_a_repository_is_not_removed_as_an_old_one_while_a_server_uses_it(tmp_path: Path) -> None:
    old = tiny_repository.write(tmp_path / "repository-old", echo=tiny_repository.ECHO)
    with EmbeddedServer(old, grace=HURRIED):
        for number in range(3):
            publish(f"repository-{number}", {}, {"files": {}}, output=tmp_path)
        assert old.exists()
    publish("repository-9", {}, {"files": {}}, output=tmp_path)
    assert not old.exists()


def test_names_the_port_that_is_taken(echo: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} .*HTTP.*--http-port"):
            EmbeddedServer(echo, http_port=port, grace=HURRIED).start()
    assert not processes_of(echo)


def test_says_how_to_assemble_a_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryNotFound, match="make repository"):
        EmbeddedServer(tmp_path / "repository").start()
    (tmp_path / "repository" / "models").mkdir(parents=True)
    with pytest.raises(RepositoryNotFound, match="no model in it"):
        EmbeddedServer(tmp_path / "repository").start()


def test_does_not_start_from_a_repository_that_was_changed(echo: Path) -> None:
    model = echo / "models" / "echo" / "1" / "model.py"
    model.write_text(model.read_text() + "# changed\n")
    with pytest.raises(RepositoryDamaged, match=r"echo/1/model\.py was changed.*make repository"):
        EmbeddedServer(echo, grace=HURRIED).start()
    (echo / "manifest.json").unlink()
    with pytest.raises(RepositoryDamaged, match=r"has no manifest\.json"):
        EmbeddedServer(echo, grace=HURRIED).start()
    assert not processes_of(echo)


def test_names_the_model_that_does_not_load_and_the_reason(tmp_path: Path) -> None:
    repository = tiny_repository.write(
        tmp_path / "repository", good=tiny_repository.ECHO, wrong=tiny_repository.NOT_LOADING
    )
    with pytest.raises(ModelFailed, match="a_module_that_nobody_wrote") as caught:
        EmbeddedServer(repository, grace=HURRIED).start()
    assert caught.value.model == "wrong"
    assert "\n" not in str(caught.value)
    assert not processes_of(repository)
    assert not regions_of(os.getpid())


def test_names_a_model_with_a_broken_config(tmp_path: Path) -> None:
    repository = tiny_repository.write(tmp_path / "repository", wrong=tiny_repository.ECHO)
    (repository / "models" / "wrong" / "config.pbtxt").write_text("nonsense: 1")
    tiny_repository.seal(repository)
    with pytest.raises(ModelFailed) as caught:
        EmbeddedServer(repository, grace=HURRIED).start()
    assert caught.value.model == "wrong"


def test_a_model_that_loads_but_does_not_answer_is_not_ready(tmp_path: Path) -> None:
    repository = tiny_repository.write(tmp_path / "repository", crop_analysis=tiny_repository.REFUSING)
    with pytest.raises(CanaryFailed, match=r"crop_analysis.*no crop is good enough"):
        EmbeddedServer(repository, grace=HURRIED).start()
    assert not processes_of(repository)


def test_a_canary_that_never_comes_back_ends_in_a_timeout(tmp_path: Path) -> None:
    repository = tiny_repository.write(tmp_path / "repository", crop_analysis=tiny_repository.HANGING)
    with pytest.raises(StartTimeout, match="first request to crop_analysis"):
        EmbeddedServer(repository, start_timeout=3, grace=0.5).start()
    assert not processes_of(repository)
    assert not regions_of(os.getpid())


def test_an_option_that_this_server_lacks_is_named(echo: Path) -> None:
    with pytest.raises(CannotStart, match="--allow-client-shm"):
        EmbeddedServer(echo, arguments=["--allow-client-shm=1"], grace=HURRIED).start()


def test_a_library_that_the_stub_misses_is_named_though_the_server_hangs(
    echo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = WheelTriton().prepare(None, cache=tmp_path / "cache")
    stub = copy.backends / "python" / "triton_python_backend_stub"
    # The loader finds the names of the libraries that a program needs as text in it.
    stub.write_bytes(stub.read_bytes().replace(b"libpython3", b"libabsent3"))
    monkeypatch.setattr(WheelTriton, "prepare", lambda *args, **kwargs: copy)
    with pytest.raises(LibraryNotFound, match="libabsent3"):
        EmbeddedServer(echo, grace=1).start()
    assert not processes_of(echo)


def test_a_start_can_be_called_off(tmp_path: Path) -> None:
    repository = tiny_repository.write(tmp_path / "repository", crop_analysis=tiny_repository.HANGING)
    cancel = threading.Event()
    with pytest.raises(StartCancelled):
        EmbeddedServer(repository, grace=0.5).start(cancel=cancel, announce=lambda server: cancel.set())
    assert not processes_of(repository)


def test_the_command_says_one_sentence_and_exits_with_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.embedded", "--repository", str(tmp_path / "none")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("qface: no model repository is assembled")
    assert done.stderr.count("\n") == 1
