"""How the environments come to be: which Python is taken, where uv keeps its things. Nothing is fetched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the scripts, and in bin/ a uv that says how it was called instead of doing it."""
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("requirements", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    script(
        tmp_path / "bin" / "uv",
        'case "$*" in --version) echo uv 9 ;; *) echo "uv $*"; env ;; esac',
    )
    for tool in ("bash", "dirname", "env", "sh"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    return folder


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def python(path: Path, *, library: bool) -> Path:
    """A command that is this Python, with or without its shared library, as far as it says."""
    lacking = "" if library else 'case "$*" in *interpreter_probe.py*--library*) exit 1 ;; esac; '
    return script(path, f'{lacking}exec "{sys.executable}" "$@"')


def run(
    project: Path, *command: str, path: tuple[Path, ...] = (), **variables: str
) -> "subprocess.CompletedProcess[str]":
    folders = [*map(str, path), str(project.parent / "bin")]  # and no Python of the machine's own
    return subprocess.run(
        list(command),
        cwd=project,
        env={"HOME": str(project.parent), **variables, "PATH": ":".join(folders)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_for_the_server_a_python_without_its_library_is_passed_over(project: Path, tmp_path: Path) -> None:
    python(tmp_path / "first" / "python3.11", library=False)
    good = python(tmp_path / "second" / "python3.11", library=True)
    folders = (tmp_path / "first", tmp_path / "second")
    made = run(project, "requirements/make-venv", ".venv-serve", path=folders)
    assert f"--python {good} .venv-serve" in made.stdout, made.stderr
    made = run(project, "requirements/make-venv", ".venv", path=folders)
    assert f"--python {tmp_path / 'first' / 'python3.11'} .venv" in made.stdout, made.stderr


def test_a_python_of_pyenv_is_found_though_no_shim_leads_to_it(project: Path, tmp_path: Path) -> None:
    python(tmp_path / "first" / "python3", library=False)
    good = python(tmp_path / ".pyenv" / "versions" / "3.11.99" / "bin" / "python", library=True)
    made = run(project, "requirements/make-venv", ".venv-serve", path=(tmp_path / "first",))
    assert f"--python {good} .venv-serve" in made.stdout, made.stderr


def test_the_teachers_environment_has_nothing_of_ours(project: Path, tmp_path: Path) -> None:
    python(tmp_path / "first" / "python3.11", library=True)
    folders = (tmp_path / "first",)
    for name, ours in ((".venv-teachers", False), (".venv", True)):
        made = run(project, "requirements/make-venv", name, "requirements/teachers.txt", path=folders)
        assert "--requirement requirements/teachers.txt" in made.stdout, made.stderr
        assert ("./client" in made.stdout) == ours


def test_without_a_home_uv_keeps_its_things_in_the_project(project: Path) -> None:
    said = run(project, "requirements/uv", "pip", HOME="/dev/null").stdout
    assert f"UV_CACHE_DIR={project}/.venv-uv/cache" in said
    assert f"UV_PYTHON_INSTALL_DIR={project}/.venv-uv/python" in said
    assert "UV_" not in run(project, "requirements/uv", "pip").stdout
    given = run(project, "requirements/uv", "pip", HOME="/dev/null", UV_CACHE_DIR="/given").stdout
    assert "UV_CACHE_DIR=/given" in given


def test_the_clients_wheel_carries_its_licence(tmp_path: Path) -> None:
    import zipfile

    copy = tmp_path / "client"
    shutil.copytree(ROOT / "client", copy, ignore=shutil.ignore_patterns("*.egg-info", ".*", "build"))
    subprocess.run(
        [sys.executable, "-c", "from setuptools import build_meta; build_meta.build_wheel('..')"],
        cwd=copy,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/LICENSE")]
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()
