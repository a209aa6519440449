"""The processes behind a gateway before and after: whether the same ones live, and what memory each has."""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

from deploy.benchmark.faults.processes import Process, processes_below

_MODEL = re.compile(r"/models/([^/ ]+)/\d+/model\.py")
_KILOBYTE = 1024


def family(supervisor: int) -> dict[int, str]:
    """The names of a gateway's processes by their pids: of the supervisor and all below it."""
    found = {supervisor: "supervisor"}
    return found | {
        pid: _name(each) for pid, each in processes_below(supervisor).items() if each.state != "Z"
    }


class Family:
    """A gateway's processes as they were at first, by their pids."""

    def __init__(self, supervisor: int) -> None:
        self._supervisor = supervisor
        self.names = family(supervisor)
        self._alive = dict(self.names)

    def dead(self) -> str:
        """Those that have ended since this was called last, by name and pid; "" for none."""
        now = family(self._supervisor)
        gone = {pid: name for pid, name in self._alive.items() if pid not in now}
        for pid in gone:
            del self._alive[pid]
        return ", ".join(f"{name} ({pid})" for pid, name in gone.items())


def _name(process: Process) -> str:
    if match := _MODEL.search(process.command):
        return match.group(1)
    words = process.command.split(" ")
    if words[0].endswith("/tritonserver"):
        return "tritonserver"
    for word, module in itertools.pairwise(words):
        if word == "-m":
            return module.rpartition(".")[2]
    return "guard"


def resident(pids: Mapping[int, str]) -> dict[int, int]:
    """Bytes of anonymous memory that each process has in RAM, which a leak makes grow; 0 for a dead one."""
    return {pid: _anonymous(pid) for pid in pids}


def _anonymous(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)
    return _KILOBYTE * int(match.group(1)) if match else 0
