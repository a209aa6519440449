"""Whether this machine can run the embedded server at all: `python -m deploy.embedded --check`.

Needs the standard library only, so that the Makefile can check before it downloads anything. Whether there is
room for what a server and its models' processes share, is checked for a repository.
"""

import dataclasses
import os
import platform
from pathlib import Path

from deploy.embedded.errors import CannotStart, HostNotSupported, NoRoom
from deploy.embedded.process_guard import SHARED_MEMORY

MINIMUM_GLIBC = (2, 35)
ELSEWHERE = "run the repository in Triton's container on a Linux x86-64 machine instead"
# Of each process of a Python model, from its start on. It grows by as much where a request needs more, and
# never shrinks.
REGION_BYTES = 1 << 20
_PYTHON = "python"
_MEBIBYTE = 1 << 20


def check_host(*, system: str | None = None, machine: str | None = None, glibc: str | None = None) -> None:
    """Raise HostNotSupported unless this is Linux on x86-64 with glibc 2.35 or newer.

    The arguments replace what this machine reports.
    """
    system = platform.system() if system is None else system
    machine = platform.machine() if machine is None else machine
    if system != "Linux" or machine not in ("x86_64", "AMD64"):
        raise HostNotSupported(
            f"the embedded server runs on Linux x86-64 only, and this is {system} {machine}: {ELSEWHERE}"
        )
    if glibc is None:
        # "glibc 2.36"; other C libraries (musl) do not know the name.
        try:
            glibc = os.confstr("CS_GNU_LIBC_VERSION") or ""
        except (ValueError, OSError):
            glibc = ""
    name, _, version = glibc.partition(" ")
    if name != "glibc":
        raise HostNotSupported(f"the embedded server needs glibc, which this Linux does not use: {ELSEWHERE}")
    found = tuple(int(part) for part in version.split(".")[:2])
    if found < MINIMUM_GLIBC:
        needed = ".".join(map(str, MINIMUM_GLIBC))
        raise HostNotSupported(
            f"glibc is {version} here and the embedded server needs {needed} (Ubuntu 22.04, Debian 12): "
            f"{ELSEWHERE}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SharedMemory:
    """A folder of shared memory as it is now, in bytes."""

    size: int  # 0: without a bound
    free: int

    @classmethod
    def now(cls, folder: Path = SHARED_MEMORY) -> "SharedMemory":
        """OSError where there is none."""
        about = os.statvfs(folder)
        return cls(size=about.f_blocks * about.f_frsize, free=about.f_bavail * about.f_frsize)

    @property
    def shown(self) -> str:
        """In words, for a sentence."""
        return f"{self.free // _MEBIBYTE} of {self.size // _MEBIBYTE} MiB are free"


def model_process_count(models: Path, *, config_name: str | None) -> int:
    """How many processes the Python models of these configurations take, one an instance.

    `config_name` is the variant that is preferred (None: no variant).
    """
    from google.protobuf import text_format  # late, as in `open_repository`
    from tritonclient.grpc import model_config_pb2

    count = 0
    for folder in sorted(path for path in models.iterdir() if path.is_dir()):
        preferred = folder / "configs" / f"{config_name}.pbtxt"
        path = preferred if config_name is not None and preferred.exists() else folder / "config.pbtxt"
        try:
            config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
        except (OSError, ValueError, text_format.ParseError):
            continue  # Triton itself names what is wrong with it
        if config.backend == _PYTHON:
            count += (
                sum(max(1, group.count) * max(1, len(group.gpus)) for group in config.instance_group) or 1
            )
    return count


def check_room(models: Path, *, config_name: str | None, folder: Path = SHARED_MEMORY) -> None:
    """Raises NoRoom where there is too little shared memory for a server of these models to start.

    CannotStart where there is none at all.
    """
    count = model_process_count(models, config_name=config_name)
    try:
        found = SharedMemory.now(folder)
    except OSError as error:
        raise CannotStart(
            f"there is no shared memory at {folder} ({error.strerror}), which the models' processes exchange "
            f"tensors through: mount one, as `mount -t tmpfs tmpfs {folder}` does"
        ) from error
    if found.size and found.free < count * REGION_BYTES:
        needed = count * REGION_BYTES // _MEBIBYTE
        raise NoRoom(
            f"the shared memory {folder} is too full: {found.shown}, and the {count} processes of the models "
            f"need {needed} MiB to start, and more at work: free some there, or enlarge it to "
            f"{recommended_mebibytes(count)} MiB (`docker run --shm-size={recommended_mebibytes(count)}m`, "
            f"`mount -o remount,size={recommended_mebibytes(count)}m {folder}`)"
        )


def recommended_mebibytes(count: int) -> int:
    """Room for two servers of so many processes, one that takes over from the other, with large requests."""
    return 256 + 4 * count * REGION_BYTES // _MEBIBYTE
