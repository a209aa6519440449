"""What a running gateway leaves for others to read: no file, no core dump, no secret in its processes."""

import dataclasses
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.gateway.identity.keys_command import main as keys_command
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.processes import processes_below, tritons
from tests.helpers import tiny_repository

SECRET = "a-secret-of-the-operators"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Running:
    """A gateway with two fronts, REST, keys and logs, whose files lie in a folder that anybody may enter."""

    server: GatewayServer
    folder: Path
    key: str

    def of_every_process(self, name: str) -> Mapping[int, str]:
        """The content of /proc/PID/`name`, of the supervisor and all below it."""
        root = self.server.supervisor_pid
        pids = [root, *processes_below(root)]
        return {pid: Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace") for pid in pids}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    folder = Path(tempfile.mkdtemp(prefix="q"))  # short: sockets lie in it
    folder.chmod(0o755)
    try:
        repository = tiny_repository.write(folder / "repository", echo=tiny_repository.ECHO)
        keys = folder / "keys.toml"
        with pytest.MonkeyPatch.context() as patch:
            printed: list[str] = []
            patch.setattr("builtins.print", lambda text="", **_: printed.append(str(text)))
            assert keys_command(["add", "shop", "--file", str(keys)]) == 0
        (key,) = re.findall(r"qface_\S+", " ".join(printed))
        arguments = ["--keys", str(keys), "--log", str(folder / "triton.log"), "--processes", "2"]
        arguments += ["--access-log", str(folder / "access.jsonl"), "--ready-file", str(folder / "ready")]
        environment = {"SHOP_API_KEY": SECRET, "TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        with GatewayServer(repository, rest_port=0, arguments=arguments, environment=environment) as server:
            yield Running(server=server, folder=folder, key=key)
    finally:
        shutil.rmtree(folder)


def test_what_it_writes_is_its_user_s_alone_but_for_the_ready_file(running: Running) -> None:
    outside = (running.folder / "repository", running.folder / "ready")
    written = {
        str(path.relative_to(running.folder)): path.lstat()
        for path in running.folder.rglob("*")
        if not any(path.is_relative_to(other) for other in outside)
    }
    assert {"triton.log", "access.jsonl", "keys.toml"} <= set(written)
    assert any(stat.S_ISSOCK(about.st_mode) for about in written.values())
    assert [name for name, about in written.items() if about.st_mode & 0o077] == []
    address = (running.folder / "ready").read_text()
    assert address == f"{running.server.grpc_address}\n", "which others may read"


def test_none_of_its_processes_leaves_a_core_dump(running: Running) -> None:
    limits = running.of_every_process("limits")
    assert len(limits) >= 7  # supervisor, main process, front, REST, guard, tritonserver, a model
    assert {
        pid: line
        for pid, text in limits.items()
        for line in re.findall(r"^Max core file size.*", text, re.MULTILINE)
        if not re.fullmatch(r"Max core file size +1 +1 +bytes *", line)
    } == {}


def test_no_key_is_in_a_command_line_or_an_environment_and_triton_gets_no_secret(running: Running) -> None:
    for name in ("cmdline", "environ"):
        assert not [pid for pid, text in running.of_every_process(name).items() if running.key in text]
    environments = running.of_every_process("environ")
    (triton,) = tritons(running.server.supervisor_pid)
    behind = {triton, *processes_below(triton)}
    assert len(behind) >= 2
    assert SECRET in environments[running.server.supervisor_pid], "as it was started with"
    assert not [pid for pid in behind if SECRET in environments[pid]]
