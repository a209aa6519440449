"""Hosts of one network on this machine: each has network, hostname and processes of its own, and can die.

with Hosts({"one": "10.77.0.1", "two": "10.77.0.2"}, folder=tmp_path) as hosts:
    host = hosts.start("one", [...])
    host.kill()  # with all of its processes, as without power

By Linux's namespaces: as root, or where others may make user namespaces too.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.helpers.tools import REQUIRED

_SWITCH = "ip link add name switch type bridge && ip link set switch up && echo ready && exec sleep infinity"
# $1 hostname, $2 its hosts file, $3 address, $4 log
_BOOT = """
hostname "$1" && mount --bind "$2" /etc/hosts && ip link set lo up && echo ready && read -r _ || exit 1
ip address add "$3/24" dev plug && ip link set plug up && exec >>"$4" 2>&1 </dev/null || exit 1
shift 4
exec "$@"
"""


class Host:
    """One that runs a command."""

    def __init__(self, process: "subprocess.Popen[str]", *, log: Path) -> None:
        self.process, self.log = process, log

    def said(self) -> str:
        """All that its command has printed."""
        return self.log.read_text() if self.log.exists() else ""

    def pids(self, word: str) -> list[int]:
        """The numbers here of its processes that have a word in their command line."""
        return [pid for pid in _descendants(self.process.pid) if word in _command(pid)]

    def kill(self) -> None:
        """Ends all of its processes at once, none of which gets to know."""
        if self.process.poll() is None:
            self.process.kill()  # the first of its process namespace dies with it, and all others with that
            self.process.wait()


class Hosts:
    """Their network, as long as the context lasts. The test is skipped where this machine permits none."""

    def __init__(self, addresses: Mapping[str, str], *, folder: Path) -> None:
        self._addresses, self._folder = dict(addresses), folder
        self._stack = contextlib.ExitStack()
        self._plugs = 0

    def __enter__(self) -> Self:
        for program in ("unshare", "nsenter", "ip"):
            if shutil.which(program) is None:
                _without(f"there is no {program}: apt-get install util-linux iproute2")
        names = "".join(f"{address} {name}\n" for name, address in self._addresses.items())
        (self._folder / "hosts").write_text(f"127.0.0.1 localhost\n{names}")
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self._switch = subprocess.Popen(
            ["unshare", *user, "--net", "sh", "-c", _SWITCH],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(_end, self._switch)
        assert self._switch.stdout is not None
        assert self._switch.stderr is not None
        if self._switch.stdout.readline() != "ready\n":
            reason = self._switch.stderr.read().strip()
            self._stack.close()
            _without(f"this machine permits no network of one's own ({reason})")
        spaces = ["--user", "--preserve-credentials"] if user else []
        self._enter = ["nsenter", f"--target={self._switch.pid}", *spaces, "--net"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, name: str, command: Sequence[str], *, environment: Mapping[str, str]) -> Host:
        """A host, on the network, which runs a command."""
        log = self._folder / f"{name}.log"
        process = subprocess.Popen(
            [
                *self._enter,
                *("unshare", "--net", "--uts", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"),
                *("sh", "-c", _BOOT, "boot", name, str(self._folder / "hosts"), self._addresses[name]),
                *(str(log), *command),
            ],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        host = Host(process, log=log)
        self._stack.callback(_end, process)
        assert process.stdin is not None
        assert process.stdout is not None
        if (line := process.stdout.readline()) != "ready\n":
            _without(f"this machine permits no hosts ({line.strip()})")
        self._plugs += 1
        plug = f"plug{self._plugs}"
        for words in (
            f"link add {plug} type veth peer name end{self._plugs}",
            f"link set {plug} master switch up",
            f"link set end{self._plugs} netns {process.pid} name plug",
        ):
            subprocess.run([*self._enter, "ip", *words.split()], check=True)
        process.stdin.write("go\n")
        process.stdin.close()
        return host


def has_pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal waits for a process, which stands still."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


def _without(sentence: str) -> None:
    if os.environ.get(REQUIRED):
        pytest.fail(sentence)
    pytest.skip(sentence)


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield int(child)
            yield from _descendants(int(child))


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""
