"""Files that hold secrets or rules: refused where others can read or change them, and watched."""

import dataclasses
import os
import stat
from pathlib import Path

from deploy.embedded.errors import CannotStart

# Nothing for others, and no writing by the group: 0600 and 0640 pass.
FORBIDDEN_MODE = 0o027


class UnusableFile(CannotStart):
    """A file of keys or certificates can't be used; the sentence names it and what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileState:
    """What differs when a file was written anew or replaced; a missing file has its own."""

    device: int = 0
    inode: int = 0
    size: int = -1
    changed: int = 0  # nanoseconds: ctime, which `touch -d` and `cp -p` do not turn back


def state_of(path: Path) -> FileState:
    """The file's state now; links are followed, as mounted secrets are exchanged by their links."""
    try:
        found = path.stat()
    except OSError:
        return FileState()
    return FileState(
        device=found.st_dev, inode=found.st_ino, size=found.st_size, changed=max(found.st_ctime_ns, 0)
    )


def read_file(path: Path, *, what: str, secret: bool) -> bytes:
    """The content of a file; UnusableFile if it is missing, unreadable, or (`secret`) open to others."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if secret and mode & FORBIDDEN_MODE:
                raise UnusableFile(
                    f"{what} {path} can be read or changed by others (mode {mode:04o}): run "
                    f"`chmod 600 {path}`, or 640 for a group that may read it"
                )
            return file.read()
    except FileNotFoundError:
        raise UnusableFile(f"{what} {path} does not exist: name the right file") from None
    except OSError as error:
        raise UnusableFile(
            f"{what} {path} can't be read ({error.strerror}): it must be readable "
            "by the user that runs the gateway"
        ) from None
