"""`python -m deploy.bulk` in processes of its own, and what a run's folder has afterwards."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from deploy.bulk.__main__ import main
from deploy.bulk.statuses import OK, SOME_FAILED
from deploy.measuring.processes import Process, processes_below
from tests.helpers.paths import ROOT

PYTHON = ROOT / ".venv-bulk" / "bin" / "python"
TIMEOUT = 180.0  # seconds of a run that hangs


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended, and what it printed."""

    status: int
    output: str
    errors: str

    @property
    def sentence(self) -> str:
        """The last line on standard error."""
        return self.errors.strip().rpartition("\n")[2]


def require_bulk() -> None:
    """Skips the test where the environment of the command is not made."""
    if not PYTHON.exists():
        pytest.skip("there is no .venv-bulk: make .venv-bulk")


@contextlib.contextmanager
def running(
    *words: str | Path, environment: Mapping[str, str] | None = None, **options: Any
) -> Iterator["subprocess.Popen[str]"]:
    """A run, killed at the end of the block where it goes on."""
    process = subprocess.Popen(
        [PYTHON, "-m", "deploy.bulk", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "client"), **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        yield process
    finally:
        below = processes_below(process.pid)
        process.kill()
        process.communicate()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def run(
    *words: str | Path,
    environment: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
    **options: Any,
) -> Ended:
    """A run to its end."""
    with running(*words, environment=environment, **options) as process:
        return end_of(process, timeout=timeout)


def run_here(*words: str | Path) -> int:
    """A run in this process, which has no Ray and reads no bucket: its exit status."""
    return main([str(word) for word in words])


def end_of(process: "subprocess.Popen[str]", *, timeout: float = TIMEOUT) -> Ended:
    """Waits for a run's end."""
    output, errors = process.communicate(timeout=timeout)
    return Ended(status=process.returncode, output=output, errors=errors)


def finished(
    *words: str | Path, environment: Mapping[str, str] | None = None, timeout: float = TIMEOUT
) -> Ended:
    """A run that accounts for every input; anything else fails the test."""
    ended = run(*words, environment=environment, timeout=timeout)
    assert ended.status in (OK, SOME_FAILED), ended
    return ended


# -- what is in the folder --------------------------------------------------------------------------


class Run:
    """The folder of a run, read anew each time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def files(self) -> dict[str, bytes]:
        """Every whole file of results by its path in the folder."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for table in ("photos", "faces")
            for path in sorted((self.folder / table).glob("part-*.parquet"))
        }

    @property
    def parts(self) -> int:
        """How many chunks are finished."""
        return len(list((self.folder / "photos").glob("part-*.parquet")))

    @property
    def photos(self) -> list[dict[str, Any]]:
        """A row a photo, part after part."""
        return self._rows("photos")

    @property
    def faces(self) -> list[dict[str, Any]]:
        """A row a face, part after part."""
        return self._rows("faces")

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return summary

    @property
    def tree(self) -> list[str]:
        """All names below the folder."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))

    def _rows(self, table: str) -> list[dict[str, Any]]:
        found = []
        for path in sorted((self.folder / table).glob("part-*.parquet")):
            found += pyarrow.parquet.ParquetFile(path).read().to_pylist()
        return found


# -- a run that goes on -----------------------------------------------------------------------------


def until_parts(
    process: "subprocess.Popen[str]", folder: Path, count: int, *, timeout: float = TIMEOUT
) -> int:
    """Waits until so many chunks are finished, or the run has ended; how many are."""
    until = time.monotonic() + timeout
    while (parts := Run(folder).parts) < count and process.poll() is None:
        assert time.monotonic() < until, f"{parts} of {count} chunks after {timeout:.0f} s"
        time.sleep(0.05)  # another process's files: there is nothing else to wait for
    return parts


def answering_processes(run: int) -> list[int]:
    """The processes of a run that answer photos."""
    return list(_answering(run))


def workers(run: int) -> list[int]:
    """Their parents where Ray started them: what computes chunks."""
    return [each.parent for each in _answering(run).values() if each.parent != run]


def _answering(run: int) -> dict[int, Process]:
    return {
        pid: each
        for pid, each in processes_below(run).items()
        if "deploy.bulk.answering.child" in each.command
    }
