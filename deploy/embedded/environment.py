"""The Python environment that the server and its models run in, which may not be this one's.

Tests, training and the launcher run where they like; the server needs the wheel nvidia-pytriton,
numpy < 2, OpenVINO and OpenCV, which `make` puts into `.venv-serve`.
"""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from deploy.embedded.errors import EnvironmentNotSupported

PROJECT = Path(__file__).resolve().parents[2]
SERVE_PYTHON = PROJECT / ".venv-serve" / "bin" / "python"
SUPPORTED = ((3, 10), (3, 11), (3, 12))
REMAKE = "remake it with `make clean-venvs .venv-serve`"

_PROBE = Path(__file__).with_name("interpreter_probe.py")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """A Python that can carry the server."""

    python: Path
    version: tuple[int, int]
    prefix: Path  # of the virtual environment
    site_packages: tuple[Path, ...]
    library_folder: Path | None  # where its libpython lies; None where the loader finds it by itself
    wheel: Path  # pytriton/tritonserver of the wheel
    wheel_version: str
    wheel_libraries: Path  # nvidia_pytriton.libs of the wheel


def default_python() -> Path:
    """This interpreter where it has the wheel, else the one of `.venv-serve`."""
    if importlib.util.find_spec("pytriton") is not None:
        return Path(sys.executable)
    if SERVE_PYTHON.exists():
        return SERVE_PYTHON
    raise EnvironmentNotSupported(
        "no embedded server is installed: run `make .venv-serve`, or name a Python that has nvidia-pytriton"
    )


def inspect(python: Path) -> Environment:
    """The environment of `python`; EnvironmentNotSupported names what is wrong with it."""
    return interpret(_probe(python), python=python)


def check_interpreter(python: Path) -> None:
    """Whether `python` itself could carry the server, whatever is installed there.

    EnvironmentNotSupported for a version without a stub, and for one without its shared library.
    """
    _check_interpreter(_probe(python), python=python)


def _probe(python: Path) -> dict[str, Any]:
    try:
        answer = subprocess.run(
            [python, "-I", _PROBE], capture_output=True, text=True, timeout=60, check=True, cwd="/"
        )
        report: dict[str, Any] = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise EnvironmentNotSupported(f"{python} does not run ({error}): {REMAKE}") from error
    return report


def _check_interpreter(report: dict[str, Any], *, python: Path) -> tuple[int, int]:
    version = (int(report["version"][0]), int(report["version"][1]))
    written = ".".join(map(str, version))
    if version not in SUPPORTED:
        raise EnvironmentNotSupported(
            f"{python} is Python {written}, and the embedded server needs 3.10 to 3.12: {REMAKE}, with "
            "PYTHON= naming such a one"
        )
    if report["library_folder"] is None:
        raise EnvironmentNotSupported(
            f"{report['library']} was not found for {python}: install it (on Debian and Ubuntu `apt install "
            f"libpython{written}`) or name with PYTHON= one that was built with a shared library"
        )
    return version


def interpret(report: dict[str, Any], *, python: Path) -> Environment:
    """The environment in a report of `interpreter_probe.py`.

    EnvironmentNotSupported where it can't serve.
    """
    version = _check_interpreter(report, python=python)
    written = ".".join(map(str, version))
    if report["pytriton"] is None:
        raise EnvironmentNotSupported(f"{python} has no nvidia-pytriton, which carries the server: {REMAKE}")
    numpy_version = report["numpy_version"]
    if numpy_version is None:
        raise EnvironmentNotSupported(f"{python} has no numpy: {REMAKE}")
    if int(numpy_version.split(".")[0]) >= 2:
        # Nothing fails with it: the models get and give empty tensors.
        raise EnvironmentNotSupported(
            f"{python} has numpy {numpy_version}, with which this server's tensors are empty: install "
            "numpy<2 there"
        )
    wheel = Path(report["pytriton"]) / "tritonserver"
    libraries = Path(report["pytriton"]).parent / "nvidia_pytriton.libs"
    for part in (wheel / "bin" / "tritonserver", wheel / "python_backend_stubs" / written, libraries):
        if not part.exists():
            raise EnvironmentNotSupported(f"nvidia-pytriton in {python} lacks {part}: {REMAKE}")
    return Environment(
        python=python,
        version=version,
        prefix=Path(report["prefix"]),
        site_packages=tuple(dict.fromkeys((Path(report["purelib"]), Path(report["platlib"])))),
        library_folder=Path(report["library_folder"]) if report["library_folder"] else None,
        wheel=wheel,
        wheel_version=report["pytriton_version"],
        wheel_libraries=libraries,
    )
