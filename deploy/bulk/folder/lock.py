"""One run at a time in a folder."""

import contextlib
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from deploy.bulk.errors import Refused

LOCK = "run.lock"


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; Refused where another run has it.

    The kernel releases it when its holder ends, however that is: nobody has to take over a dead one's.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(
            f"{folder} can't be written ({error.strerror or error}): name another --output"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 4096, 0).decode(errors="replace").strip() or "another process"
            raise Refused(f"{holder} is at work in {folder}: wait for it, or name another --output") from None
        except OSError as error:
            raise Refused(
                f"{folder} is on a file system without locks ({error.strerror or error}): name an --output "
                "on another one"
            ) from error
        with contextlib.suppress(OSError):  # a full disk: then it is "another process"
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} of {platform.node()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)
