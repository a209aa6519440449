"""A folder for what a run needs while it lasts, outside its own; what a killed run left is removed."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "qface-bulk-"
_LOCK = "in-use"


class ScratchFolder:
    """A folder that is locked while its owner lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def scratch_folder() -> ScratchFolder:
    """A new one, with a short path: sockets lie in it. Those of this user whose owner is dead are removed."""
    folder = Path(tempfile.gettempdir())
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # of another user, or at work
            abandoned = ScratchFolder(path)
            abandoned.remove()
    return ScratchFolder(Path(tempfile.mkdtemp(prefix=_PREFIX)))
