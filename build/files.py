"""Files: written whole or not at all, shared instead of copied, and known by their sha256."""

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Makes `content` the file's content in one step; a file that can't be written stays as it was."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        new.chmod(mode)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def link_or_copy(source: Path, target: Path) -> None:
    """The same file at another place: a second name where the file system has such, else a copy.

    Only for files that are replaced and never written into again.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def sha256_of_file(path: Path) -> str:
    """A file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(path: Path) -> str:
    """A path as it is written into records: below the project from there, else the whole of it.

    So that it means the same wherever the record is read.
    """
    whole = path.resolve()
    return str(whole.relative_to(ROOT) if whole.is_relative_to(ROOT) else whole)


def why_unwritten(error: OSError, *, size: int | None = None) -> str:
    """What stopped a write, and what to do, as the end of a sentence. `size`: bytes that it needs."""
    reason = error.strerror or str(error)
    is_full = error.errno in _FULL
    # A full disk is noticed while writing, where no name is known, or while copying, by the source's name.
    if error.filename is not None and not is_full:
        reason += f": {error.filename}"
    remedy = "make room there" if is_full else "make that directory writable"
    if is_full and size is not None:
        remedy += f" for {1 + size // 1_000_000} MB"
    return f"({reason}): {remedy}, or name another"
