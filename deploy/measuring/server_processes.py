"""Whose processor time an answer takes on the server's side."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from deploy.measuring.processes import look, processes_below, role_of, running
from deploy.measuring.processor_time import cpu_seconds
from qface_client.measuring.sample import Sample

GATEWAY = "gateway"
_OF_GATEWAY = ("supervisor", "main process", "front process", "guard")


def part_of(command: str) -> str:
    """The gateway, tritonserver, or the name of a model, which all its instances share."""
    role = role_of(command)
    return GATEWAY if role in _OF_GATEWAY else role


class Parts:
    """Processes whose time is read together, by the name of the part that they are of something."""

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        self._pids = pids

    def seconds(self) -> dict[str, float]:
        """Processor time so far, by part; ProcessLookupError once one of the processes has ended."""
        try:
            return {part: cpu_seconds(*pids) for part, pids in self._pids.items()}
        except OSError as error:
            ended = [part for part, pids in self._pids.items() if len(running(pids)) < len(pids)]
            raise ProcessLookupError(
                f"a process of {', '.join(ended)} ended while it was measured: look at the server's log"
            ) from error

    def sample(self, send: Callable[[], Sample]) -> Sample:
        """What `send` measures on the clients' side, with the time that the processes take meanwhile."""
        before, began = self.seconds(), time.monotonic()
        sent = send()
        took = time.monotonic() - began
        spent = {part: now - before[part] for part, now in self.seconds().items()}
        return dataclasses.replace(sent, seconds=took, core_seconds={**sent.core_seconds, **spent})

    def idle_load(self, seconds: float) -> dict[str, float]:
        """What the processes take while nobody calls: processor seconds a second, by part."""
        before, began = self.seconds(), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        return {part: (now - before[part]) / took for part, now in self.seconds().items()}


class ServerProcesses(Parts):
    """The processes from a gateway's supervisor down, as they are now."""

    def __init__(self, supervisor: int) -> None:
        found = processes_below(supervisor)
        if (own := look(supervisor)) is not None:
            found[supervisor] = own
        pids: dict[str, list[int]] = {}
        for pid, process in found.items():
            if process.state not in "ZX":
                pids.setdefault(part_of(process.command), []).append(pid)
        super().__init__(pids)


def medians_by_part(loads: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of several measurements, part by part."""
    return {part: statistics.median(load[part] for load in loads) for part in loads[0]}
