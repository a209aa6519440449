"""A folder for what a run needs while it lasts, outside its own; what a killed run left is removed."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "qface-bulk-"
_LOCK, _FRESH_LOCK = "in-use", "taken"


class ScratchFolder:
    """A folder that is locked while its owner lives."""

    def __init__(self, path: Path, *, new: bool) -> None:
        """OSError for an earlier one (not `new`) that is at work, or is none."""
        self.path = path
        held = path / (_FRESH_LOCK if new else _LOCK)
        self._lock = os.open(held, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if new else 0), 0o600)
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
    """A new one, with a short path: sockets lie in it. Those of this user whose owner is dead are removed."""
    folder = Path(tempfile.gettempdir())
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # of another user, or at work
            abandoned = ScratchFolder(path, new=False)
            abandoned.remove()
    return ScratchFolder(Path(tempfile.mkdtemp(prefix=_PREFIX)), new=True)
