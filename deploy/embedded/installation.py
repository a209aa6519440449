"""A runnable copy of the wheel's server.

The Python backend wants its stub beside it, and binary and stub want the run bit. Neither holds in
the wheel, and site-packages are not ours to write into. So the few files (24 MB) are copied into a
cache folder named after their content; the wheel's libraries stay where they are.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.embedded.environment import Environment
from deploy.embedded.errors import NoRoom


@dataclasses.dataclass(frozen=True, kw_only=True)
class Installation:
    """Where the runnable server is."""

    binary: Path
    backends: Path


def prepare(environment: Environment, *, cache: Path) -> Installation:
    """Copy what is missing or damaged under `cache`; two launchers may do this at once.

    NoRoom where it can't be written, with how much room it takes.
    """
    sources = _sources(environment)
    digests = {name: _digest(path) for name, path in sources.items()}
    whole = hashlib.sha256(
        "".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()
    ).hexdigest()
    version = ".".join(map(str, environment.version))
    folder = cache.resolve() / f"pytriton-{environment.wheel_version}-py{version}-{whole[:12]}"
    if not _is_whole(folder, digests=digests):
        try:
            with _only_one(folder.parent):
                if not _is_whole(folder, digests=digests):  # while we waited another made it
                    _copy(sources, folder=folder)
        except OSError as error:
            size = sum(path.stat().st_size for path in sources.values())
            raise NoRoom(
                f"the runnable copy of the server can't be written below {folder.parent} "
                f"({error.strerror or error}): it takes {1 + size // 1_000_000} MB; make room there and let "
                "this user write, or name another folder with --cache"
            ) from error
    return Installation(binary=folder / "bin" / "tritonserver", backends=folder / "backends")


def _sources(environment: Environment) -> dict[str, Path]:
    """Path in the copy -> path in the wheel."""
    wheel = environment.wheel
    stubs = wheel / "python_backend_stubs" / ".".join(map(str, environment.version))
    sources = {"bin/tritonserver": wheel / "bin" / "tritonserver"}
    for folder in (wheel / "backends" / "python", stubs):
        sources |= {
            f"backends/python/{path.name}": path for path in sorted(folder.iterdir()) if path.is_file()
        }
    return sources


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _is_whole(folder: Path, *, digests: dict[str, str]) -> bool:
    try:
        return all(
            os.access(folder / name, os.X_OK) and _digest(folder / name) == digest
            for name, digest in digests.items()
        )
    except OSError:  # a server that can't start its stub may take the right to read it away
        return False


@contextlib.contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """One launcher at a time: two that mend a copy at once would take each other's away."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _copy(sources: dict[str, Path], *, folder: Path) -> None:
    # Made aside and renamed, so that nobody ever sees half a copy.
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, source in sources.items():
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o755)
        temporary.chmod(0o755)
        if folder.exists():  # damaged: out of the way first, a folder can't be renamed over a full one
            folder.rename(temporary / "damaged")
        temporary.rename(folder)
        shutil.rmtree(folder / "damaged", ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
