"""What the processes of one gateway hold: memory, descriptors, threads, shared memory, read from /proc."""

import contextlib
import dataclasses
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.measuring.processes import (
    OTHER,
    TRITON,
    Process,
    byte_counts,
    look,
    processes_below,
    role_of,
)

_SHARED_MEMORY = Path("/dev/shm")
_REGION = re.compile(r"qface_(\d+)_")  # the name of a region has the process that started its Triton
_BLOCK = 512  # bytes of st_blocks
_LOOK_SECONDS = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Held:
    """What one process holds; bytes."""

    role: str  # a model's processes are numbered where it has several
    pid: int
    started: int  # clock ticks after the machine's start: a number may be given again
    rss: int  # resident, with what it shares
    pss: int  # its share of it
    uss: int  # its own alone
    descriptors: int
    threads: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """All processes of a gateway at one moment.

    region_bytes    what their regions in /dev/shm take
    region_peak     the most that they have taken since the run began
    tritons         how many there are: more than one while a swap is under way
    connected       whether clients send requests; if not, all have left
    """

    requests: int
    seconds: float
    processes: tuple[Held, ...]
    regions: int
    region_bytes: int
    region_peak: int
    tritons: int
    connected: bool = True

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Sample":
        return cls(**(value | {"processes": tuple(Held(**each) for each in value["processes"])}))


class Census:
    """Counts what belongs to a process and all below it; watches the shared memory's peak meanwhile.

    root    the gateway's supervisor
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._owners = {root}
        self._peak = 0
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._follow, name="shared-memory", daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._watch.join()

    def take(self, *, requests: int, seconds: float, connected: bool = True) -> Sample:
        """A sample now; a process that ends meanwhile is left out."""
        found = processes_below(self._root)
        if (root := look(self._root)) is not None:
            found[self._root] = root
        self._owners |= found.keys()
        roles = _roles(found)
        held = [each for pid in sorted(found) if (each := _held(pid, roles[pid])) is not None]
        sizes = list(self._region_sizes())
        self._peak = max(self._peak, sum(sizes))
        return Sample(
            requests=requests,
            seconds=seconds,
            processes=tuple(held),
            regions=len(sizes),
            region_bytes=sum(sizes),
            region_peak=self._peak,
            tritons=sum(each.role == TRITON for each in held),
            connected=connected,
        )

    def _region_sizes(self) -> Iterator[int]:
        for entry in os.scandir(_SHARED_MEMORY):
            match = _REGION.match(entry.name)
            if match and int(match.group(1)) in self._owners:
                with contextlib.suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False).st_blocks * _BLOCK

    def _follow(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self._peak = max(self._peak, sum(self._region_sizes()))


def _roles(found: dict[int, Process]) -> dict[int, str]:
    """The role of each process; several of one role below one parent are numbered from the second on."""
    roles: dict[int, str] = {}
    seen: dict[tuple[int, str], int] = {}
    for pid in sorted(found):
        role = role_of(found[pid].command)
        number = seen[found[pid].parent, role] = seen.get((found[pid].parent, role), 0) + 1
        numbered = number > 1 and role not in ("guard", TRITON, OTHER)
        roles[pid] = f"{role} ({number})" if numbered else role
    return roles


def _held(pid: int, role: str) -> Held | None:
    folder = Path(f"/proc/{pid}")
    try:
        after_name = (folder / "stat").read_text().rpartition(")")[2].split()
        descriptors = sum(1 for _ in (folder / "fd").iterdir())
    except OSError:
        return None
    rollup = byte_counts(pid, "smaps_rollup")
    if "Rss" not in rollup:  # it has ended, and its parent has not looked yet
        return None
    return Held(
        role=role,
        pid=pid,
        started=int(after_name[19]),
        rss=rollup["Rss"],
        pss=rollup["Pss"],
        uss=rollup["Private_Clean"] + rollup["Private_Dirty"],
        descriptors=descriptors,
        threads=int(after_name[17]),
    )
