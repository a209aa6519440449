"""The processes of one gateway, found from its own down, so that a fault can hit no other's."""

import dataclasses
import os
import re
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

_MODEL = re.compile(r"/models/([^/ ]+)/\d+/model\.py")
# Words of a command line -> the role of its process, the first that fits. The REST door is a front process.
_ROLES = (
    ("process_guard", "guard"),
    ("main_process", "main process"),
    ("front_process", "front process"),
    ("-m deploy.gateway ", "supervisor"),
)
TRITON, OTHER = "tritonserver", "other"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Process:
    """One process, as it was when it was looked at."""

    pid: int
    parent: int
    state: str  # R, S, T (stopped), Z (dead) ...
    command: str


def processes_below(root: int) -> dict[int, Process]:
    """All descendants of a process by their pid, parents before children; the process itself is left out."""
    found: dict[int, Process] = {}
    children: dict[int, list[Process]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        process = look(int(path.name))
        if process is not None:
            children.setdefault(process.parent, []).append(process)
    waiting = [root]
    while waiting:
        for process in children.get(waiting.pop(), ()):
            found[process.pid] = process
            waiting.append(process.pid)
    return found


def look(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None  # it ended
    state, parent = stat.rpartition(")")[2].split()[:2]
    return Process(
        pid=pid,
        parent=int(parent),
        state=state,
        command=command.replace(b"\0", b" ").decode(errors="replace").strip(),
    )


def model_processes(triton: int) -> dict[str, list[int]]:
    """The processes of a Triton's Python models by the models' names."""
    found: dict[str, list[int]] = {}
    for process in processes_below(triton).values():
        if (match := _MODEL.search(process.command)) and process.state not in "ZX":
            found.setdefault(match.group(1), []).append(process.pid)
    return {model: sorted(pids) for model, pids in sorted(found.items())}


def running(pids: Iterable[int]) -> list[int]:
    """Those of these processes that have not ended."""
    found = {pid: look(pid) for pid in pids}
    return [pid for pid, process in found.items() if process is not None and process.state not in "ZX"]


def model_names(repository: Path) -> list[str]:
    """The Python models of a repository: each of them has a process, or several."""
    return sorted({path.parts[-3] for path in repository.glob("models/*/*/model.py")})


def tritons(root: int) -> list[int]:
    """The Tritons below a process, the oldest first."""
    return sorted(
        pid
        for pid, process in processes_below(root).items()
        if role_of(process.command) == TRITON and process.state not in "ZX"
    )


def resident_bytes(root: int) -> Mapping[str, int]:
    """Memory of a process and of all below it: the sum of their proportional shares, by role."""
    shares: dict[str, int] = {}
    for pid, process in ({root: look(root)} | processes_below(root)).items():
        if process is not None:
            role = role_of(process.command)
            shares[role] = shares.get(role, 0) + byte_counts(pid, "smaps_rollup").get("Pss", 0)
    return shares


def role_of(command: str) -> str:
    """Whose command line this is: a model's name for its process."""
    if match := _MODEL.search(command):
        return match.group(1)
    if command.split(" ")[0].endswith("/tritonserver"):
        return TRITON
    return next((role for words, role in _ROLES if words in f"{command} "), OTHER)


def byte_counts(pid: int, file: str) -> dict[str, int]:
    """The lines "Rss:   123 kB" of /proc/PID/`file`, in bytes; nothing of a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return {}
    return {
        name: 1024 * int(value.split()[0])
        for name, _, value in (line.partition(":") for line in lines)
        if value.endswith(" kB")
    }


def send(pid: int, number: signal.Signals, *, below: int) -> None:
    """A signal to a descendant of `below`; PermissionError for any other process."""
    if pid not in processes_below(below):
        raise PermissionError(f"process {pid} is none of {below}'s")
    os.kill(pid, number)
