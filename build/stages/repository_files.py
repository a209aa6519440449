"""Puts repositories into their place: whole or not at all, with a link to the newest, the last two kept."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from build.errors import BuildError
from build.files import why_unwritten
from build.manifest import MANIFEST, Content, intact, renew, to_json

LINK = "repository"
KEPT = 2
_UNFINISHED = ".repository-"


def publish(name: str, files: Mapping[str, Content], manifest: Mapping[str, Any], *, output: Path) -> Path:
    """Makes `output`/`name` a repository of these files, lets the link lead to it, and removes old ones.

    One that is there already, unchanged, stays, but for its manifest. Returns its directory. Raises
    BuildError where it can't be written; then nothing was changed.
    """
    repository = output / name
    try:
        with _lock(output):
            if intact(repository):
                renew(repository, manifest)
            else:
                _put_in_place({**files, MANIFEST: to_json(manifest)}, repository)
            os.utime(repository)
            _point(output / LINK, repository)
            _remove_old(output)
    except OSError as error:
        why = why_unwritten(error, size=sum(map(_size, files.values())))
        raise BuildError(f"the repository can't be written below {output} {why}") from None
    return repository


def _size(content: Content) -> int:
    if not isinstance(content, Path):
        return len(content)
    return content.stat().st_size if content.is_file() else 0  # what is gone may be what stopped the write


@contextlib.contextmanager
def _lock(output: Path) -> Iterator[None]:
    """One build at a time below `output`."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".repository.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for left_over in output.glob(f"{_UNFINISHED}*.tmp"):
            shutil.rmtree(left_over)
        yield


def _put_in_place(files: Mapping[str, Content], repository: Path) -> None:
    """Writes the files under another name and moves them into place whole."""
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, suffix=".tmp", dir=repository.parent))
    try:
        unfinished.chmod(0o755)
        for name, content in files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, path)
            else:
                path.write_bytes(content)
        if repository.exists():  # damaged, or it would have been kept; a server may use it right now
            displaced = Path(tempfile.mkdtemp(prefix=_UNFINISHED, suffix=".tmp", dir=repository.parent))
            repository.rename(displaced / repository.name)
            try:
                unfinished.rename(repository)
            except BaseException:
                (displaced / repository.name).rename(repository)
                raise
            finally:
                shutil.rmtree(displaced, ignore_errors=True)
        else:
            unfinished.rename(repository)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _point(link: Path, repository: Path) -> None:
    """Turns the link in one step: a reader sees the old repository or the new one, never none."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(repository.name)
    new.replace(link)


def hold(repository: Path) -> int:
    """Keeps a repository from being removed as an old one while the returned descriptor is open.

    OSError where it can't be opened. A process that ends lets go of what it held.
    """
    descriptor = os.open(repository, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_held(repository: Path) -> bool:
    descriptor = os.open(repository, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _remove_old(output: Path) -> None:
    """Removes all but the newest repositories, never the one that the link leads to, nor one that is held."""
    linked = (output / LINK).resolve()
    others = [path for path in output.glob(f"{LINK}-*") if path.is_dir() and path.resolve() != linked]
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in others[KEPT - 1 :]:
        if not _is_held(path):
            shutil.rmtree(path)
