"""LocalServer: processor time and memory of a server's processes, where they run on this machine."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from deploy.loadtest.protocols.base import Target
from deploy.loadtest.server.listeners import ancestors, is_here, listeners
from deploy.measuring.processes import OTHER, look, processes_below, resident_bytes, role_of, running
from deploy.measuring.server_processes import ServerProcesses

IDLE_SECONDS = 1.0
_TRIES = 3
# What listens in a server's place and has its processes elsewhere.
_FORWARDERS = frozenset({"docker-proxy", "rootlessport", "slirp4netns", "pasta", "ssh", "kubectl", "socat"})


class LocalServer:
    """The processes from some roots down. What it reads is by part: the gateway, tritonserver, each model.

    idle    processor seconds a second that they take while nobody calls
    """

    def __init__(self, roots: Sequence[int]) -> None:
        """ProcessLookupError where the server has ended; takes a second."""
        self._roots = roots
        self._find()
        self.idle: Mapping[str, float] = self._idle_load()
        self.changes = 0  # how often other processes ran than at the look before

    def seconds(self) -> dict[str, float]:
        """Processor time so far; ProcessLookupError where the server has ended."""
        if self._running() == self._pids:
            with contextlib.suppress(ProcessLookupError):  # one ends in this moment
                return _sum([each.seconds() for each in self._found])
        self.changes += 1
        self._find()
        return _sum([each.seconds() for each in self._found])

    def memory(self) -> dict[str, int]:
        """Bytes held now, by role: the proportional shares, where this user may read them."""
        held: dict[str, int] = {}
        for root in self._roots:
            for role, size in resident_bytes(root).items():
                held[role] = held.get(role, 0) + size
        return {role: size for role, size in held.items() if size}

    def _idle_load(self) -> dict[str, float]:
        for _ in range(_TRIES):
            with contextlib.suppress(
                ProcessLookupError
            ):  # a Triton that was replaced ends its processes late
                return _sum([each.idle_load(IDLE_SECONDS / len(self._roots)) for each in self._found])
            self._find()
        raise ProcessLookupError("its processes end and begin by themselves")

    def _find(self) -> None:
        if ended := [root for root in self._roots if look(root) is None]:
            raise ProcessLookupError(f"the server's process {ended[0]} has ended")
        self._pids = self._running()
        self._found = [ServerProcesses(root) for root in self._roots]

    def _running(self) -> set[int]:
        return {*running({pid for root in self._roots for pid in (root, *processes_below(root))})}


def server_roots(target: Target, *, supervisor_pid: int | None) -> list[int]:
    """The topmost processes of a server on this machine.

    ConnectionError with a sentence where it is on another one, PermissionError where it can't be looked at.
    """
    if supervisor_pid:
        return [supervisor_pid]
    host, _, port = target.address.rpartition(":")
    if not port.isdigit() or not is_here(host.strip("[]")):
        raise ConnectionError("the server is on another machine")
    found = sorted({_top(pid) for pid in listeners(int(port))})
    if not found:
        raise ConnectionError(f"no process of this machine listens at port {port}")
    for pid in found:
        process = look(pid)
        program = "" if process is None else PurePath(process.command.split(" ")[0]).name
        if program in _FORWARDERS:
            raise ConnectionError(f"{program} listens at port {port}, and the server is behind it")
    return found


def _top(pid: int) -> int:
    """The process that started this one, and so on, while they belong to the same server.

    A shell whose words name the server may have started this program too: it is none of the server's.
    """
    ours = set(ancestors(os.getpid()))
    while (process := look(pid)) is not None:
        parent = look(process.parent)
        if parent is None or parent.pid in ours or role_of(parent.command) == OTHER:
            return pid
        pid = parent.pid
    return pid


def _sum(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in parts for name in each)
    return {name: sum(each.get(name, 0.0) for each in parts) for name in names}
