"""A folder for what a run needs while it lasts, outside its own; what a killed run left is removed."""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

_PREFIX = "qface-bulk-"
_LOCK, _FRESH_LOCK = "in-use", "taken"
# Characters that a socket's path may have, less those that Ray adds to the folder:
# "/session_2026-11-29_22-26-04_714106_1234567/sockets/plasma_store", and a digit or two.
_LONGEST = 107 - 67
_USUAL = Path("/tmp")


class ScratchFolder:
    """A folder that is locked while its owner lives."""

    def __init__(self, path: Path, *, new: bool) -> None:
        """OSError for an earlier one (not `new`) that is at work, or is none."""
        self.path = path
        held = path / (_FRESH_LOCK if new else _LOCK)
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if new else 0)
        self._lock = os.open(held, flags, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise
        if new:  # under its own name it has never been without its lock
            held.rename(path / _LOCK)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def scratch_folder() -> ScratchFolder:
    """A new one, with a short path: sockets lie in it. Those of this user whose owner is dead are removed.

    OSError where it can't be made.
    """
    folder = _place()
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # at work, or gone meanwhile
            if _is_own(path):
                ScratchFolder(path, new=False).remove()
    return ScratchFolder(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder)), new=True)


def _place() -> Path:
    """Where temporary files go, unless that is too long for sockets."""
    usual = Path(tempfile.gettempdir())
    return usual if len(f"{usual}/{_PREFIX}12345678") <= _LONGEST else _USUAL


def _is_own(path: Path) -> bool:
    """Whether it is a folder of this user's, and no link: others may write into /tmp too."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
