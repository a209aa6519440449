"""The processes of a Triton and their states, from /proc: dead and frozen ones need not be asked."""

import contextlib
import dataclasses
import enum
import os
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
_STAT_BYTES = 4096  # the kernel writes some hundred
_MODELS = "/models/"  # of an assembled repository, in a stub's command line


class State(enum.Enum):
    """What the kernel reports of a process."""

    ALIVE = "alive"
    FROZEN = "frozen"  # stopped by a signal or by a debugger
    DEAD = "dead"  # gone, or a zombie


@dataclasses.dataclass(frozen=True, kw_only=True)
class Process:
    """One process; the time of its start tells it from another that gets its number later."""

    pid: int
    started: int  # clock ticks after the machine's start
    name: str  # "tritonserver", "guard", or "the process of the model X"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Stat:
    letter: str
    parent: int
    started: int


def state_of(process: Process) -> State:
    """The state now; reads one small file. ALIVE where it can't be read, as without a descriptor left."""
    try:
        stat = _stat(process.pid)
    except OSError:
        return State.ALIVE
    if stat is None or stat.started != process.started or stat.letter in "ZXx":
        return State.DEAD
    return State.FROZEN if stat.letter in "Tt" else State.ALIVE


def first_not_alive(processes: Iterable[Process]) -> tuple[Process, State] | None:
    """The first dead process, else the first frozen one; None where all live."""
    frozen = None
    for process in processes:
        state = state_of(process)
        if state is State.DEAD:
            return process, state
        if state is State.FROZEN and frozen is None:
            frozen = process, state
    return frozen


def family(guard: int) -> tuple[Process, ...]:
    """A guard, its Triton and the models' processes: looks at every process of the machine once."""
    stats = {}
    for folder in _PROC.glob("[0-9]*"):
        if (stat := _stat(int(folder.name))) is not None:
            stats[int(folder.name)] = stat
    generations: list[list[int]] = [[guard] if guard in stats else []]
    while generations[-1]:
        parents = set(generations[-1])
        generations.append([pid for pid, stat in stats.items() if stat.parent in parents])
    found = []
    for depth, pids in enumerate(generations):
        for pid in sorted(pids):
            name = ("guard", "tritonserver")[depth] if depth < 2 else _name_of_stub(pid)
            found.append(Process(pid=pid, started=stats[pid].started, name=name))
    return tuple(found)


def proportional_bytes(processes: Iterable[Process]) -> int:
    """The memory of the processes, what several share counted once (PSS); takes milliseconds a process."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError):
            for line in (_PROC / str(process.pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _stat(pid: int) -> _Stat | None:
    """None where there is no such process; OSError where that can't be found out."""
    try:
        # Some dozen of these are read four times a second: without what `open` and `Path` do beside that.
        descriptor = os.open(f"{_PROC}/{pid}/stat", os.O_RDONLY)
        try:
            text = os.read(descriptor, _STAT_BYTES)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(b")")[2].split()  # a program's name may hold anything, brackets too
    return _Stat(letter=fields[0].decode(), parent=int(fields[1]), started=int(fields[19]))


def _name_of_stub(pid: int) -> str:
    try:
        command = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return "a model's process"
    model = command.partition(_MODELS)[2].partition("/")[0]
    return f"the process of the model {model}" if model else "a model's process"
