"""The Triton in the wheel nvidia-pytriton: on the CPU, from a runnable copy.

The Python backend wants its stub beside it, and binary and stub want the run bit. Neither holds in
the wheel, and site-packages are not ours to write into. So the few files (24 MB) are copied into a
cache folder named after their content; the wheel's libraries stay where they are.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.embedded import environment
from deploy.embedded.environment import REMAKE, SERVE_PYTHON, Environment
from deploy.embedded.errors import EnvironmentNotSupported, NoRoom
from deploy.embedded.installations.base import RunnableTriton

SUPPORTED = ((3, 10), (3, 11), (3, 12))


class WheelTriton:
    """See the module's docstring."""

    serves_gpus = False  # it has no backend for them

    title = "the Triton of nvidia-pytriton"

    def inspect(self, python: Path | None) -> Environment:
        """Whether the Python has the wheel, and a stub of its own version in it."""
        return _installed(python).carrier

    def prepare(self, python: Path | None, *, cache: Path) -> RunnableTriton:
        """With a runnable copy below `cache`."""
        return runnable(_installed(python), cache=cache)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wheel:
    """An installed wheel, and the Python that has it."""

    carrier: Environment
    folder: Path  # pytriton/tritonserver
    version: str
    libraries: Path  # nvidia_pytriton.libs


def default_python() -> Path:
    """This interpreter where it has the wheel, else the one of `.venv-serve`."""
    if importlib.util.find_spec("pytriton") is not None:
        return Path(sys.executable)
    if SERVE_PYTHON.exists():
        return SERVE_PYTHON
    raise EnvironmentNotSupported(
        "no embedded server is installed: run `make .venv-serve`, or name a Python that has nvidia-pytriton"
    )


def _installed(python: Path | None) -> Wheel:
    python = python or default_python()
    return interpret(environment.probe(python), python=python)


def check_interpreter(python: Path) -> None:
    """Whether `python` itself could carry the server, whatever is installed there.

    EnvironmentNotSupported for a version without a stub, and for one without its shared library.
    """
    _check_interpreter(environment.probe(python), python=python)


def _check_interpreter(report: dict[str, Any], *, python: Path) -> None:
    version = environment.version_in(report)
    if version not in SUPPORTED:
        raise EnvironmentNotSupported(
            f"{python} is Python {'.'.join(map(str, version))}, and the embedded server needs 3.10 to 3.12: "
            f"{REMAKE}, with PYTHON= naming such a one"
        )
    environment.check_library(report, python=python)


def interpret(report: dict[str, Any], *, python: Path) -> Wheel:
    """The wheel in the environment that a report of `interpreter_probe.py` is of.

    EnvironmentNotSupported where it can't serve.
    """
    _check_interpreter(report, python=python)
    if report["pytriton"] is None:
        raise EnvironmentNotSupported(f"{python} has no nvidia-pytriton, which carries the server: {REMAKE}")
    carrier = environment.interpret(report, python=python)
    folder = Path(report["pytriton"]) / "tritonserver"
    libraries = Path(report["pytriton"]).parent / "nvidia_pytriton.libs"
    stubs = folder / "python_backend_stubs" / carrier.written_version
    for part in (folder / "bin" / "tritonserver", stubs, libraries):
        if not part.exists():
            raise EnvironmentNotSupported(f"nvidia-pytriton in {python} lacks {part}: {REMAKE}")
    return Wheel(carrier=carrier, folder=folder, version=report["pytriton_version"], libraries=libraries)


def runnable(wheel: Wheel, *, cache: Path) -> RunnableTriton:
    """Copies what is missing or damaged below `cache`; two launchers may do this at once.

    NoRoom where it can't be written, with how much room it takes.
    """
    sources = _sources(wheel)
    digests = {name: _digest(path) for name, path in sources.items()}
    whole = hashlib.sha256(
        "".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()
    ).hexdigest()
    folder = cache.resolve() / f"pytriton-{wheel.version}-py{wheel.carrier.written_version}-{whole[:12]}"
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
    return RunnableTriton(
        binary=folder / "bin" / "tritonserver",
        backends=folder / "backends",
        # A stub that lies elsewhere than in the wheel does not find these by itself.
        libraries=(wheel.libraries,),
        carrier=wheel.carrier,
    )


def _sources(wheel: Wheel) -> dict[str, Path]:
    """Path in the copy -> path in the wheel."""
    stubs = wheel.folder / "python_backend_stubs" / wheel.carrier.written_version
    sources = {"bin/tritonserver": wheel.folder / "bin" / "tritonserver"}
    for folder in (wheel.folder / "backends" / "python", stubs):
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
