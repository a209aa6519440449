"""Processor time of a command and of all that it starts, whoever of them ends first."""

import contextlib
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from deploy.measuring.processes import processes_below
from deploy.measuring.processor_time import cpu_seconds

# What a process takes between the last look and its end is not counted: of Ray's ten processes less than a
# second, of a run that takes minutes.
_EVERY = 0.25  # seconds


class Spent:
    """Looks at the processes below `root` again and again while it is entered.

    Some are Ray's, which ends them with a signal and may not wait for them: a parent's figure of its
    children's time would not be all.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._seconds: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_again)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """Processor seconds so far."""
        return sum(self._seconds.values())

    @property
    def by_process(self) -> Mapping[int, float]:
        return dict(self._seconds)

    def _look_again(self) -> None:
        while not self._ended.wait(_EVERY):
            for pid in (self._root, *processes_below(self._root)):
                with contextlib.suppress(OSError):  # it ended: what it had taken stays
                    self._seconds[pid] = cpu_seconds(pid)
