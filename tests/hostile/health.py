"""The processes behind a gateway before and after: whether the same ones live, and what memory each has."""

from collections.abc import Iterable

from deploy.measuring.processes import byte_counts, processes_below, role_of


def family(supervisor: int) -> dict[int, str]:
    """The names of a gateway's processes by their pids: of the supervisor and all below it."""
    found = {supervisor: "supervisor"}
    return found | {
        pid: role_of(each.command) for pid, each in processes_below(supervisor).items() if each.state != "Z"
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


def resident(pids: Iterable[int]) -> dict[int, int]:
    """Bytes of anonymous memory that each process has in RAM, which a leak makes grow; 0 for a dead one."""
    return {pid: byte_counts(pid, "status").get("RssAnon", 0) for pid in pids}
