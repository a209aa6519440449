"""The Python environment that the server's models run in, which may not be this one's.

Tests, training and the launcher run where they like; the server's models need numpy < 2, OpenVINO and OpenCV,
which `make` puts into `.venv-serve`.
"""

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

from deploy.embedded.errors import EnvironmentNotSupported

PROJECT = Path(__file__).resolve().parents[2]
SERVE_PYTHON = PROJECT / ".venv-serve" / "bin" / "python"
REMAKE = "remake it with `make clean-venvs .venv-serve`"

_PROBE = Path(__file__).with_name("interpreter_probe.py")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """A Python that can carry a server's models."""

    python: Path
    version: tuple[int, int]
    prefix: Path  # of the virtual environment
    site_packages: tuple[Path, ...]
    library_folder: Path | None  # where its libpython lies; None where the loader finds it by itself

    @property
    def written_version(self) -> str:
        """As people write it: 3.11."""
        return ".".join(map(str, self.version))


def probe(python: Path) -> dict[str, Any]:
    """The report of `interpreter_probe.py` run by `python`; EnvironmentNotSupported where it does not run."""
    try:
        answer = subprocess.run(
            [python, "-I", _PROBE], capture_output=True, text=True, timeout=60, check=True, cwd="/"
        )
        report: dict[str, Any] = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise EnvironmentNotSupported(f"{python} does not run ({error}): {REMAKE}") from error
    return report


def version_in(report: dict[str, Any]) -> tuple[int, int]:
    """The version of the Python that a report is of."""
    return int(report["version"][0]), int(report["version"][1])


def check_library(report: dict[str, Any], *, python: Path) -> None:
    """EnvironmentNotSupported for a Python without its shared library, which the models' processes load."""
    if report["library_folder"] is None:
        written = ".".join(map(str, version_in(report)))
        raise EnvironmentNotSupported(
            f"{report['library']} was not found for {python}: install it (on Debian and Ubuntu `apt install "
            f"libpython{written}`) or name with PYTHON= one that was built with a shared library"
        )


def interpret(report: dict[str, Any], *, python: Path) -> Environment:
    """The environment in a report of `interpreter_probe.py`.

    EnvironmentNotSupported where no server's models can run in it.
    """
    check_library(report, python=python)
    numpy_version = report["numpy_version"]
    if numpy_version is None:
        raise EnvironmentNotSupported(f"{python} has no numpy: {REMAKE}")
    if int(numpy_version.split(".")[0]) >= 2:
        # Nothing fails with it in 2.51: the models get and give empty tensors. For newer servers NVIDIA
        # installs numpy < 2 too, and has not stated that they take 2 (server's issue 8301).
        raise EnvironmentNotSupported(
            f"{python} has numpy {numpy_version}, with which this server's tensors are empty: install "
            "numpy<2 there"
        )
    return Environment(
        python=python,
        version=version_in(report),
        prefix=Path(report["prefix"]),
        site_packages=tuple(dict.fromkeys((Path(report["purelib"]), Path(report["platlib"])))),
        library_folder=Path(report["library_folder"]) if report["library_folder"] else None,
    )
