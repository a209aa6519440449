"""Where the Pythons that the client supports lie on this machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

VERSIONS = ("3.10", "3.11", "3.12", "3.13")


def find_interpreter(version: str) -> Path | None:
    """A Python of that version that starts; None where there is none."""
    for program in _candidates(version):
        command = [program, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip() == version:
            return program
    return None


def _candidates(version: str) -> Iterator[Path]:
    if on_path := shutil.which(f"python{version}"):  # a shim of pyenv's, which may lead nowhere
        yield Path(on_path)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted((root / "versions").glob(f"{version}*/bin/python{version}"), reverse=True)
    yield from (Path.home() / ".local/share/uv/python").glob(f"cpython-{version}*/bin/python{version}")
