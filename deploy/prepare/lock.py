"""One build at a time in a folder that several hosts share; the others wait, and name its holder."""

import contextlib
import fcntl
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from build.errors import BuildError

LOCK = "prepare.lock"
_TICK = 0.5  # seconds
_AGAIN_SECONDS = 60.0  # between two lines of one that waits


@contextlib.contextmanager
def only_one(folder: Path, *, log: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock of a folder, which is made where it is missing.

    The kernel releases it when its holder ends, however that is; over NFS too, as it is a record lock.
    BuildError where the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BuildError(
            f"{folder} can't be written by user {os.geteuid()} ({error.strerror}): give it to this user "
            "(`chown`; in Kubernetes `fsGroup`), or name another folder with --state"
        ) from None
    try:
        _take(descriptor, folder=folder, log=log)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, *, folder: Path, log: Callable[[str], None]) -> None:
    logged, at = "", -_AGAIN_SECONDS
    while not _try(descriptor):
        holder = os.pread(descriptor, 4096, 0).decode(errors="replace").strip() or "another process"
        if holder != logged or time.monotonic() - at >= _AGAIN_SECONDS:
            log(f"{holder} is at work in {folder}: waiting for it to end")
            logged, at = holder, time.monotonic()
        time.sleep(_TICK)
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    holder = f"process {os.getpid()} of {platform.node()} (since {since})"
    with contextlib.suppress(OSError):  # a full volume: then the others wait for "another process"
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)


def _try(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows either
        return False
    return True
