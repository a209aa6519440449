"""A gateway whose wall clock jumps, by a library that is loaded before its processes' own."""

import atexit
import functools
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from deploy.benchmark.faults.fault import Fault, Scene

NO_COMPILER = "not done: there is no C compiler"
_SOURCE = Path(__file__).with_name("clock_shift.c")
_HOUR = 3600
_JUMPS = (3 * _HOUR, -6 * _HOUR, 30 * 24 * _HOUR, 0)  # seconds from the machine's clock, one after the other


class ShiftedClock:
    """The clock of the processes that are started with `prefix`."""

    def __init__(self, folder: Path) -> None:
        """OSError or CalledProcessError where no such library can be made."""
        self._library = folder / "clock_shift.so"
        self._file = folder / "shift"
        subprocess.run(
            ["cc", "-O2", "-shared", "-fPIC", "-o", self._library, _SOURCE, "-ldl", "-lpthread"],
            check=True,
            capture_output=True,
        )
        self.shift(0)

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("env", f"LD_PRELOAD={self._library}", f"CLOCK_SHIFT={self._file}")

    def shift(self, seconds: float) -> None:
        """From now on the clock differs from the machine's by so much."""
        data = struct.pack("=q", int(seconds * 1e9))
        if not self._file.exists():
            self._file.write_bytes(data)
        with self._file.open("r+b") as file:  # written into: the processes have it in their memory
            file.write(data)


@functools.cache
def shifted_clock() -> ShiftedClock | None:
    """One for all faults of this process; None where there is no compiler."""
    folder = Path(tempfile.mkdtemp(prefix="qface-clock-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        return ShiftedClock(folder)
    except (OSError, subprocess.CalledProcessError):
        return None


def faults() -> Iterator[Fault]:
    clock = shifted_clock()
    prefix = () if clock is None else clock.prefix
    yield Fault("the clock jumps 3 h on, 9 h back, 30 days on", partial(_jump, clock), True, prefix)


def _jump(clock: ShiftedClock | None, scene: Scene) -> float | None:
    if clock is None:
        scene.notes.append(NO_COMPILER)
        return None
    began = time.monotonic()
    before = scene.gateway.triton_pid
    for seconds in _JUMPS:
        clock.shift(seconds)
        scene.wait_for(2 if scene.quick else 50)
    spent = time.monotonic() - began
    after = scene.whole()
    if scene.gateway.triton_pid != before:
        scene.notes.append("Triton took a model's process for dead, and was replaced")
    return after if scene.gateway.triton_pid == before else spent + after
