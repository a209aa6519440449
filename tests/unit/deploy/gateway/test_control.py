"""The control socket answers its user alone, and its places are private."""

import asyncio
import contextlib
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.errors import CannotStart
from deploy.gateway.operation import places
from deploy.gateway.operation.command_line import serve
from deploy.gateway.operation.control import ControlError, ControlServer, call
from deploy.gateway.operation.state import ServingState, StateFile


async def double(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"number": 2 * request["number"]}


async def fail(request: Mapping[str, Any]) -> Mapping[str, Any]:
    raise ValueError("it can't be done: try another")


@contextlib.asynccontextmanager
async def serving(path: Path) -> AsyncIterator[None]:
    server = ControlServer(path, {"double": double, "fail": fail})
    await server.start()
    try:
        yield
    finally:
        await server.stop()


def test_a_method_s_result_comes_back_and_so_does_its_failure(tmp_path: Path) -> None:
    async def talk() -> None:
        async with serving(tmp_path / "control"):
            assert await asyncio.to_thread(call, tmp_path / "control", "double", number=4) == {"number": 8}
            with pytest.raises(ControlError, match="it can't be done: try another") as failed:
                await asyncio.to_thread(call, tmp_path / "control", "fail")
            assert failed.value.status == 1

    asyncio.run(talk())
    with pytest.raises(ControlError, match="no gateway answers") as missing:
        call(tmp_path / "control", "double", number=1)
    assert missing.value.status == 2


def test_the_socket_is_its_user_s_alone_and_goes_with_the_gateway(tmp_path: Path) -> None:
    async def look() -> None:
        async with serving(tmp_path / "control"):
            assert stat.S_IMODE((tmp_path / "control").stat().st_mode) == 0o600
        assert not (tmp_path / "control").exists()

    asyncio.run(look())


def test_what_a_killed_gateway_left_is_replaced_and_one_that_runs_is_not(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    async def look() -> None:
        async with serving(path):
            with pytest.raises(CannotStart, match=r"another gateway answers at .*--control"):
                await ControlServer(path, {}).start()
            assert await asyncio.to_thread(call, path, "double", number=1) == {"number": 2}

    asyncio.run(look())


def test_a_second_gateway_leaves_the_first_one_s_files_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control, ready = tmp_path / "control", tmp_path / "ready"
    state = StateFile(places.state_file(control))
    state.write(ServingState(repository=tmp_path))
    ready.touch()
    words = ["--repository", str(tmp_path), "--control", str(control), "--ready-file", str(ready)]
    with socket.socket(socket.AF_UNIX) as first:
        first.bind(str(control))
        first.listen()
        assert serve([*words, "--grpc-port", "0", "--http-port", "0"]) == 2
    assert "another gateway answers" in capsys.readouterr().err
    assert state.read() is not None
    assert ready.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    async def start() -> None:
        with pytest.raises(CannotStart, match="no socket"):
            await ControlServer(tmp_path / "notes", {}).start()

    (tmp_path / "notes").write_text("mine")
    asyncio.run(start())
    assert (tmp_path / "notes").read_text() == "mine"


def test_nonsense_is_answered_with_the_methods(tmp_path: Path) -> None:
    async def talk() -> None:
        async with serving(tmp_path / "control"):
            for line in (b"[\n", b"[]\n", b"{}\n", b'{"method": []}\n', b'{"method": "other"}\n'):
                reader, writer = await asyncio.open_unix_connection(tmp_path / "control")
                writer.write(line)
                assert b"double, fail" in await reader.readline()
                writer.close()

    asyncio.run(talk())


def test_the_socket_s_place_is_the_repository_s_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    one = places.control_socket(None, repository=tmp_path / "a")
    assert one == places.control_socket(None, repository=tmp_path / "a")
    assert one != places.control_socket(None, repository=tmp_path / "b")
    assert one.parent == tmp_path / "qface"
    assert stat.S_IMODE(one.parent.stat().st_mode) == 0o700
    one.parent.chmod(0o755)
    with pytest.raises(CannotStart, match="open to other users"):
        places.control_socket(None, repository=tmp_path / "a")


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="too long for a socket"):
        places.control_socket(tmp_path / ("x" * 120), repository=tmp_path)


def test_the_state_survives_and_damage_to_it_is_as_none(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state.json")
    assert file.read() is None
    for previous in (None, Path("/a")):
        state = ServingState(repository=Path("/b"), previous=previous)
        file.write(state)
        assert file.read() == state
        assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "state.json").write_text("{")
    assert file.read() is None
    file.remove()
    assert not list(tmp_path.iterdir())
