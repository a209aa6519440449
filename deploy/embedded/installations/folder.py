"""A Triton that is installed in a folder: /opt/tritonserver of NVIDIA's image.

    bin/tritonserver  lib/  backends/python/  backends/tensorrt/ ...  TRITON_VERSION

It is started where it lies, so the folder may be read-only. Its Python backend's stub is linked to one
version of Python: the environment that carries the models has to be made with that one. Not run on a GPU
yet; what is known of the image was read in Triton's build.py and its release notes.
"""

import os
import re
import sys
from pathlib import Path

from deploy.embedded import environment
from deploy.embedded.environment import SERVE_PYTHON, Environment
from deploy.embedded.errors import EnvironmentNotSupported
from deploy.embedded.installations.base import RunnableTriton

# What starts it uses --model-config-name, and tests run this version.
OLDEST = (2, 51)
_BINARY = Path("bin", "tritonserver")
_STUB = Path("backends", "python", "triton_python_backend_stub")
_LIBPYTHON = re.compile(rb"libpython(\d+)\.(\d+)\.so")
_REINSTALL = "name the folder that has bin/, lib/ and backends/ (in NVIDIA's image: /opt/tritonserver)"


class FolderTriton:
    """See the module's docstring."""

    serves_gpus = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    @property
    def version(self) -> str | None:
        """Of the server, as TRITON_VERSION has it; None where the folder has no such file."""
        try:
            return (self._folder / "TRITON_VERSION").read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None

    @property
    def title(self) -> str:
        """With its version and its folder."""
        return f"Triton {self.version or 'of an unknown version'} in {self._folder}"

    def prepare(self, python: Path | None, *, cache: Path) -> RunnableTriton:
        """Where it lies; nothing is written."""
        return RunnableTriton(
            carrier=self.inspect(python),
            binary=self._folder / _BINARY,
            backends=self._folder / "backends",
            libraries=(self._folder / "lib",),
        )

    def inspect(self, python: Path | None) -> Environment:
        """Checks its parts, its version, and whether the Python is the one of its stub."""
        stub = self._folder / _STUB
        for part in (self._folder / _BINARY, stub):
            if not os.access(part, os.X_OK):
                what = "is not to be run by this user" if part.exists() else "is missing"
                raise EnvironmentNotSupported(f"{part} {what}, so no Triton is installed here: {_REINSTALL}")
        self._check_version()
        python = python or (SERVE_PYTHON if SERVE_PYTHON.exists() else Path(sys.executable))
        report = environment.probe(python)
        wanted, found = _python_of(stub), environment.version_in(report)
        if wanted is not None and wanted != found:
            written, needed = (".".join(map(str, version)) for version in (found, wanted))
            raise EnvironmentNotSupported(
                f"the Python backend in {self._folder} is built for Python {needed}, and {python} is "
                f"{written}: make the environment with python{needed}, and name its Python with --python"
            )
        return environment.interpret(report, python=python)

    def _check_version(self) -> None:
        numbers = re.match(r"(\d+)\.(\d+)", self.version or "")
        if numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST:
            raise EnvironmentNotSupported(
                f"the Triton in {self._folder} is {self.version}, and {'.'.join(map(str, OLDEST))} is the "
                "oldest that can be used: take a newer image"
            )


def _python_of(stub: Path) -> tuple[int, int] | None:
    """The version of the libpython that a stub is linked to; None where its file names none."""
    found = _LIBPYTHON.search(stub.read_bytes())
    return (int(found[1]), int(found[2])) if found is not None else None
