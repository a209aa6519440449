"""What the launcher refuses to start on, and the runnable copy that it makes."""

import errno
import io
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from deploy import demo
from deploy.embedded import (
    CannotStart,
    EnvironmentNotSupported,
    HostNotSupported,
    LibraryNotFound,
    PortTaken,
    environment,
    interpreter_probe,
    ports,
)
from deploy.embedded.__main__ import main
from deploy.embedded.host_check import check_host
from deploy.embedded.installations import wheel
from deploy.embedded.installations.base import RunnableTriton
from deploy.embedded.server_log import ServerLog
from deploy.gateway.operation import service


def test_old_glibc_is_refused_with_both_versions() -> None:
    with pytest.raises(HostNotSupported, match=r"glibc is 2\.31 .* needs 2\.35"):
        check_host(system="Linux", machine="x86_64", glibc="glibc 2.31")
    check_host(system="Linux", machine="x86_64", glibc="glibc 2.35")


@pytest.mark.parametrize(
    ("system", "machine", "glibc"),
    [("Darwin", "arm64", ""), ("Linux", "aarch64", "glibc 2.39"), ("Linux", "x86_64", "")],
)
def test_other_machines_are_refused(system: str, machine: str, glibc: str) -> None:
    with pytest.raises(HostNotSupported):
        check_host(system=system, machine=machine, glibc=glibc)


def said(folder: Path, **changes: Any) -> dict[str, Any]:
    """What a good Python says of itself, over a wheel in `folder`."""
    pytriton = folder / "pytriton"
    for path in ("tritonserver/bin/tritonserver", "tritonserver/backends/python/libtriton_python.so"):
        (pytriton / path).parent.mkdir(parents=True, exist_ok=True)
        (pytriton / path).write_text(path)
    stub = pytriton / "tritonserver" / "python_backend_stubs" / "3.11" / "triton_python_backend_stub"
    stub.parent.mkdir(parents=True, exist_ok=True)
    stub.write_text("stub")
    (folder / "nvidia_pytriton.libs").mkdir(exist_ok=True)
    return {
        "version": [3, 11],
        "prefix": str(folder),
        "purelib": str(folder),
        "platlib": str(folder),
        "library": "libpython3.11.so.1.0",
        "library_folder": "/usr/lib",
        "pytriton": str(pytriton),
        "pytriton_version": "0.7.0",
        "numpy_version": "1.26.4",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": [3, 13]}, r"is Python 3\.13.*3\.10 to 3\.12"),
        ({"version": [3, 9]}, r"is Python 3\.9"),
        ({"version": [3, 12]}, r"lacks .*python_backend_stubs/3\.12"),
        ({"pytriton": None}, "no nvidia-pytriton"),
        ({"numpy_version": None}, "no numpy"),
        ({"numpy_version": "2.1.0"}, r"numpy 2\.1\.0.*empty"),
        ({"library_folder": None}, r"libpython3\.11\.so\.1\.0 was not found"),
    ],
)
def test_an_unusable_python_is_refused(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(EnvironmentNotSupported, match=sentence):
        wheel.interpret(said(tmp_path, **changes), python=Path("python"))


def test_a_missing_libpython_is_told_before_anything_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = said(tmp_path, pytriton=None, pytriton_version=None, numpy_version=None)
    monkeypatch.setattr(environment, "probe", lambda python: bare)
    assert main(["--check"]) == 0
    bare["library_folder"] = None
    assert main(["--check"]) == 2
    assert "apt install libpython3.11" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("libdir", "there", "folder"),
    [
        ("/usr/lib", "/usr/lib/x86_64-linux-gnu", ""),
        ("/usr/lib64", "/usr/lib64", ""),
        ("/opt/python/lib", "/opt/python/lib", "/opt/python/lib"),
        ("/opt/python/lib", "/opt/python/lib/x86_64-linux-gnu", "/opt/python/lib/x86_64-linux-gnu"),
    ],
)
def test_a_folder_of_the_loaders_own_is_not_put_before_the_others(
    libdir: str, there: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"LIBDIR": libdir, "MULTIARCH": "x86_64-linux-gnu"}
    monkeypatch.setattr(interpreter_probe.sysconfig, "get_config_var", variables.get)
    found = f"{there}/{interpreter_probe.LIBRARY}"
    monkeypatch.setattr(interpreter_probe.os.path, "exists", lambda path: path == found)
    assert interpreter_probe.library_folder() == folder


def test_a_python_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentNotSupported, match="does not run"):
        environment.probe(tmp_path / "python")


def test_only_a_port_that_is_taken_is_called_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken):
        ports.settle(ports.Ports(grpc=other.getsockname()[1]), host="127.0.0.1")
    for host, words in (
        ("203.0.113.7", r"can't listen on 203\.0\.113\.7 .*--host"),
        ("no.such.host.invalid", "can't listen on no.such.host.invalid"),
        ("::1", "IPv4 only"),
    ):
        with pytest.raises(CannotStart, match=words) as caught:
            ports.settle(ports.Ports(), host=host)
        assert not isinstance(caught.value, PortTaken)


def test_a_port_that_needs_rights_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(CannotStart, match=r"port 80 .*above 1023 with --grpc-port"):
        ports.settle(ports.Ports(grpc=80), host="127.0.0.1")


def test_a_ready_file_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = str(tmp_path / "none")
    missing = ["--repository", none, "--ready-file", str(tmp_path / "absent" / "ready")]
    assert main(missing) == 2
    assert "the ready file" in capsys.readouterr().err


def test_a_ready_file_of_another_run_misleads_no_probe(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    assert main(["--repository", str(tmp_path / "none"), "--ready-file", str(ready)]) == 2
    assert not ready.exists()


def test_a_file_that_is_no_ready_file_is_not_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"a photo")
    assert main(["--repository", str(tmp_path / "none"), "--ready-file", str(photo)]) == 2
    assert "is none of this program's" in capsys.readouterr().err
    assert photo.read_bytes() == b"a photo"


def test_the_demo_ends_quietly_on_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo.GatewayServer, "__enter__", interrupt)
    assert demo.main([]) == 130


def test_the_copy_can_run_and_the_wheel_stays_as_it_was(tmp_path: Path) -> None:
    installed = wheel.interpret(said(tmp_path / "wheel"), python=Path("python"))
    before = {path: path.stat() for path in (tmp_path / "wheel").rglob("*")}
    made = wheel.runnable(installed, cache=tmp_path / "cache")
    assert made.binary.read_text() == "tritonserver/bin/tritonserver"
    assert os.access(made.binary, os.X_OK)
    assert os.access(made.backends / "python" / "triton_python_backend_stub", os.X_OK)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "wheel").rglob("*")} == {
        path: stat.st_mtime_ns for path, stat in before.items()
    }


def test_a_damaged_copy_is_made_anew_and_a_good_one_is_kept(tmp_path: Path) -> None:
    installed = wheel.interpret(said(tmp_path / "wheel"), python=Path("python"))
    made = wheel.runnable(installed, cache=tmp_path / "cache")
    kept = made.binary.stat().st_ino
    assert wheel.runnable(installed, cache=tmp_path / "cache").binary.stat().st_ino == kept
    made.binary.write_text("cut off")
    assert wheel.runnable(installed, cache=tmp_path / "cache") == made
    made.binary.chmod(0o100)
    assert wheel.runnable(installed, cache=tmp_path / "cache") == made
    assert made.binary.read_text() == "tritonserver/bin/tritonserver"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [made.binary.parents[1].name]


def test_two_launchers_may_copy_at_once(tmp_path: Path) -> None:
    installed = wheel.interpret(said(tmp_path / "wheel"), python=Path("python"))
    copies: list[RunnableTriton] = []
    threads = [
        threading.Thread(target=lambda: copies.append(wheel.runnable(installed, cache=tmp_path / "cache")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(copies) == 8
    assert len({copy.binary for copy in copies}) == 1


def test_another_wheel_gets_another_copy(tmp_path: Path) -> None:
    installed = wheel.interpret(said(tmp_path / "wheel"), python=Path("python"))
    first = wheel.runnable(installed, cache=tmp_path / "cache")
    (installed.folder / "bin" / "tritonserver").write_text("newer")
    second = wheel.runnable(installed, cache=tmp_path / "cache")
    assert second.binary != first.binary
    assert second.binary.read_text() == "newer"


def test_a_missing_library_is_noticed_while_the_server_hangs() -> None:
    log = ServerLog(None)
    log.read(["I1121 loading: face_engine:1"])
    assert log.hopeless is None
    log.read(
        [
            "/x/triton_python_backend_stub: error while loading shared libraries: libpython3.11.so.1.0: "
            "cannot open shared object file: No such file or directory"
        ]
    )
    assert isinstance(log.hopeless, LibraryNotFound)
    assert "libpython3.11.so.1.0" in str(log.hopeless)


def test_a_crash_is_noticed_while_the_server_hangs() -> None:
    log = ServerLog(None)
    log.read(["terminate called after throwing an instance of 'std::invalid_argument'", "  what():  stol"])
    assert isinstance(log.hopeless, CannotStart)
    assert "std::invalid_argument' (stol)" in str(log.hopeless)


def test_a_log_that_cannot_hold_a_character_gets_it_escaped_and_all_that_follows() -> None:
    sink = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    ServerLog(sink).read(["caf\u00e9", "next"])
    sink.seek(0)
    assert sink.read() == "caf\\xe9\nnext\n"


def test_of_a_model_and_an_ensemble_on_it_the_model_is_blamed() -> None:
    log = ServerLog(None)
    log.read(
        [
            "E1121 x.cc:703] \"Invalid argument: ensemble 'whole' depends on 'part' which is not loaded\"",
            "E1121 x.cc:642] \"failed to load 'part' version 1: Internal: KeyError: 'x'"
            '\\n\\nAt:\\n  /m/model.py(6): f\\n"',
        ]
    )
    sentence = "model 'part' failed to load (so did whole): KeyError: 'x' at /m/model.py(6): f"
    assert str(log.diagnosis()) == sentence


def test_a_gateway_runs_where_the_versions_are_that_decide_its_precision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert service.gateway_python() == Path(sys.executable)
    served = tmp_path / "python"
    monkeypatch.setattr(service, "SERVE_PYTHON", served)
    monkeypatch.setattr(service, "package_versions", lambda *packages: {})
    assert service.gateway_python() == Path(sys.executable), "there is no other"
    served.touch()
    assert service.gateway_python() == served
