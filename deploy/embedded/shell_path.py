"""Paths for Triton's Python backend, which starts its stubs through a shell, unquoted."""

import re
from pathlib import Path

from deploy.embedded.errors import CannotStart
from deploy.embedded.process_guard import SHARED_MEMORY

_UNSAFE = re.compile(r"[^\w./+@%=,:-]", re.ASCII)  # to a shell


def shell_safe(folder: Path, *, prefix: str) -> Path:
    """The folder, or a link to it: `prefix` is that of the server's shared memory.

    The link lies where the server's shared memory does, and so goes with it however the server ends.
    """
    if not _UNSAFE.search(str(folder)):
        return folder
    link = SHARED_MEMORY / f"{prefix}{folder.name}"
    try:
        link.symlink_to(folder)
    except OSError as error:
        raise CannotStart(
            f"the path {str(folder)!r} has characters that the server's shell does not take, and a link "
            f"to it can't be made in {SHARED_MEMORY} ({error.strerror}): move it to a plain path"
        ) from error
    return link
