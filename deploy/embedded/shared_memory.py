"""The shared memory that a server and its models' processes exchange tensors through: how much is needed."""

import dataclasses
import os
from pathlib import Path

from deploy.embedded.errors import CannotStart
from deploy.embedded.process_guard import SHARED_MEMORY

# Of each process of a Python model, from its start on. It grows by as much where a request needs more, and
# never shrinks.
REGION_BYTES = 1 << 20
_PYTHON = "python"
_MEBIBYTE = 1 << 20


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


def model_process_count(models: Path, *, config_name: str) -> int:
    """How many processes the Python models of these configurations take, one an instance."""
    from google.protobuf import text_format  # late, as in `open_repository`
    from tritonclient.grpc import model_config_pb2

    count = 0
    for folder in sorted(path for path in models.iterdir() if path.is_dir()):
        preferred = folder / "configs" / f"{config_name}.pbtxt"
        path = preferred if preferred.exists() else folder / "config.pbtxt"
        try:
            config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
        except (OSError, ValueError, text_format.ParseError):
            continue  # Triton itself names what is wrong with it
        if config.backend == _PYTHON:
            count += (
                sum(max(1, group.count) * max(1, len(group.gpus)) for group in config.instance_group) or 1
            )
    return count


def check_room(models: Path, *, config_name: str, folder: Path = SHARED_MEMORY) -> None:
    """Raises CannotStart where there is too little shared memory for a server of these models to start."""
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
        raise CannotStart(
            f"the shared memory {folder} is too full: {found.shown}, and the {count} processes of the models "
            f"need {needed} MiB to start, and more at work: free some there, or enlarge it to "
            f"{recommended_mebibytes(count)} MiB (`docker run --shm-size={recommended_mebibytes(count)}m`, "
            f"`mount -o remount,size={recommended_mebibytes(count)}m {folder}`)"
        )


def recommended_mebibytes(count: int) -> int:
    """Room for two servers of so many processes, one that takes over from the other, with large requests."""
    return 256 + 4 * count * REGION_BYTES // _MEBIBYTE
