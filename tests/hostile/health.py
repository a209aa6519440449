"""The processes behind a gateway before and after: whether the same ones live, and what memory each has."""

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


def _name(process: Process) -> str:
    if match := _MODEL.search(process.command):
        return match.group(1)
    words = process.command.split(" ")
    if words[0].endswith("/tritonserver"):
        return "tritonserver"
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else words[-1]
    return module.rpartition(".")[2] or module


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
