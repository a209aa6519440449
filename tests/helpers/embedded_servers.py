"""What an embedded server has left of processes and shared memory, and its command, for tests of both."""

import contextlib
import subprocess
from pathlib import Path

from tests.helpers.server_commands import until_ready

# Seconds until a Triton that was asked to end is killed. By itself it takes three and sleeps meanwhile: only
# the tests of its end have to wait for that.
HURRIED = 0.1


def processes_of(folder: Path) -> dict[int, str]:
    """Process ids and command lines of the servers, stubs and guards of a repository."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            # A zombie has no command line; pytest itself may name the folder.
            if str(folder) in command and ("triton" in command or "process_guard.py" in command):
                found[int(path.parent.name)] = command
    return found


_others: set[str] = set()


def remember_others() -> None:
    """From now on `regions_of` leaves out what is there: the session's server is this process's child too."""
    _others.clear()
    _others.update(_launch_of(path) for path in Path("/dev/shm").glob("qface_*"))


def _launch_of(region: Path) -> str:
    """What the regions of one launch have in common: qface, the process id, a random part."""
    return "_".join(region.name.split("_")[:3])


def regions_of(*pids: int) -> list[str]:
    """Names of the shared memory that launchers with these process ids have made in this test."""
    found = (path for pid in pids for path in Path("/dev/shm").glob(f"qface_{pid}_*"))
    return [path.name for path in found if _launch_of(path) not in _others]


def command(repository: Path, *further: str) -> contextlib.AbstractContextManager["subprocess.Popen[str]"]:
    """`python -m deploy.embedded` on free ports."""
    ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    return until_ready("deploy.embedded", "--repository", str(repository), *ports, *further)
