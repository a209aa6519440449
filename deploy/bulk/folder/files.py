"""Files that appear whole, or not at all."""

import contextlib
import os
import shutil
from pathlib import Path

from deploy.bulk.errors import Stopped

# How names of what is being written end. Readers of Parquet folders skip a leading dot.
UNFINISHED = ".unfinished"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, and give it its own when it is on the disk.

    Stopped where it can't be written; then neither is there, and an earlier file of that name stays.
    """
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    try:
        with unfinished.open("wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        unfinished.replace(path)
        _sync_names(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise Stopped(
            f"{path} can't be written ({error.strerror or error}): what is finished is kept; when that is "
            "mended, the same command goes on"
        ) from error


def _sync_names(folder: Path) -> None:
    """What was renamed is so after a power cut too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # of a file system that has no such thing
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed run left half written."""
    for path in folder.glob(f".*{UNFINISHED}"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
