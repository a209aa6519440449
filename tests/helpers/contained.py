"""A process in a folder as in a container: its own namespaces, a root that can't be written, no rights.

As root. The process is the first of its process namespace, as it is in a container.
"""

import dataclasses
import os
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.helpers.debian_folder import Built, inside

# Of open files: more than this machine permits can't be had.
_HARD_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
_DEVICES = ("null", "zero", "full", "random", "urandom")
# $1 folder, $2 state, $3 secrets, $4 shared memory, $5 directory, $6 user, $7 group, $8 tmpfs lines
_SCRIPT = """
set -eu
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$1/sys"
mount -t tmpfs -o mode=755,size=1m,nosuid dev "$1/dev"
for device in {devices}; do touch "$1/dev/$device"; mount --bind "/dev/$device" "$1/dev/$device"; done
mkdir "$1/dev/shm"
mount --bind "$4" "$1/dev/shm"
mount --bind "$2" "$1/var/lib/q-face"
echo "$8" | while IFS=' ' read -r place options; do
    mount -t tmpfs -o "nosuid,nodev,noexec,$options" tmpfs "$1$place"
done
mount --bind "$3" "$1/run/secrets/q-face"
mount -o remount,bind,ro "$1/run/secrets/q-face"
mount -o remount,bind,ro "$1"
ip link set lo up
folder="$1" directory="$5" user="$6" group="$7"
shift 8
exec chroot "$folder" setpriv --reuid="$user" --regid="$group" --clear-groups \\
    --no-new-privs --bounding-set=-all --inh-caps=-all env --ignore-environment --chdir="$directory" "$@"
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Container:
    """What compose states of a service, as far as a folder can have it."""

    built: Built
    command: tuple[str, ...]
    environment: dict[str, str]
    user: str  # "10001:10001"
    tmpfs: dict[str, str]  # place -> options
    state: Path
    secrets: Path
    shared_memory: Path  # a tmpfs
    log: Path
    nofile: int = 65536


class Contained:
    """One that runs. `pid` is the number outside of its first process."""

    def __init__(self, container: Container) -> None:
        """Starts it; it has ended where the command could not be run."""
        built = container.built
        for place in (*container.tmpfs, "/run/secrets/q-face"):
            inside(built.folder, place).mkdir(parents=True, exist_ok=True)
        user, _, group = container.user.partition(":")
        environment = built.environment | container.environment
        command = [
            *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"),
            *("--net", "--ipc", "--uts"),
            *("prlimit", f"--nofile={min(container.nofile, _HARD_LIMIT)}", "--core=1", "--"),
            *("sh", "-c", _SCRIPT.replace("{devices}", " ".join(_DEVICES)), "contained"),
            *(str(built.folder), str(container.state), str(container.secrets), str(container.shared_memory)),
            *(built.directory, user, group),
            "\n".join(f"{place} {options}" for place, options in container.tmpfs.items()),
            *(f"{name}={value}" for name, value in environment.items()),
            *container.command,
        ]
        self._log = container.log.open("ab")
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True
        )
        self.pid = self._first()

    def _first(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for _ in range(200):
            try:
                if found := children.read_text().split():
                    return int(found[0])
            except OSError:
                break
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        return 0

    def processes(self) -> dict[int, str]:
        """The processes of its namespace by their number outside, with their states: S, R, Z ..."""
        try:
            namespace = Path(f"/proc/{self.pid}/ns/pid").readlink()
        except OSError:
            return {}
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if (entry / "ns" / "pid").readlink() == namespace:
                        found[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                except OSError:
                    continue
        return found

    def enter(
        self, words: Sequence[str], *, timeout: float, environment: dict[str, str] | None = None
    ) -> str:
        """What a program of this machine prints that runs in its network alone."""
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{self.pid}/ns/net", *words],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=os.environ | (environment or {}),
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)[:200]} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def execute(self, words: Sequence[str], *, timeout: float) -> subprocess.CompletedProcess[str]:
        """Runs a command in it as its user, as `docker exec` does."""
        return subprocess.run(
            ["nsenter", "--all", "--root", "--wd", f"--target={self.pid}", *words],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def signal(self, number: signal.Signals) -> None:
        """Sends its first process a signal."""
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> int | None:
        """Its exit status; None where it still runs after so many seconds."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Ends all of it."""
        if self._process.poll() is None:
            self._process.kill()  # with it the first process, and with that the namespace
            self._process.wait(10)
        self._log.close()
