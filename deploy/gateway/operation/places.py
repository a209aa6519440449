"""Where a gateway's sockets lie: in a private directory, under a name of its repository's."""

import contextlib
import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path

from deploy.embedded.errors import CannotStart

_LONGEST_SOCKET_PATH = 107  # bytes, of the kernel's 108 with the zero at the end


def control_socket(control: Path | None, *, repository: Path) -> Path:
    """The absolute path of the control socket: `control`, or one derived from the repository's path.

    The repository's link is not followed: it moves on, and the socket stays. CannotStart for a path that is
    too long, or a directory that is not private.
    """
    if control is None:
        name = hashlib.sha256(os.fsencode(repository.absolute())).hexdigest()[:16]
        path = private_directory() / f"{name}.sock"
    else:
        path = control.absolute()
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        raise CannotStart(f"the path {path} is too long for a socket: name a shorter one with --control")
    return path


def check_unused(control: Path) -> None:
    """CannotStart where a gateway answers on its control socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        connection.connect(str(control))
        raise CannotStart(
            f"another gateway answers at {control}: stop it, or name another socket with --control"
        )


def state_file(control: Path) -> Path:
    """The file of `StateFile`, beside the control socket."""
    return control.with_name(f"{control.name}.state.json")


def span_socket(control: Path) -> Path:
    """The socket of `SpanExport`, beside the control socket."""
    return control.with_name(f"{control.name}.spans")


def private_directory() -> Path:
    """A directory that this user alone can enter; made where it is missing."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK):
        directory = Path(runtime) / "qface"
    else:
        directory = Path(tempfile.gettempdir()) / f"qface-{os.getuid()}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise CannotStart(
            f"the directory {directory} for the control socket can't be made ({error.strerror}): name a "
            "place with --control"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise CannotStart(
            f"{directory}, where the control socket belongs, is open to other users: remove it, or name "
            "another place with --control"
        )
    return directory
