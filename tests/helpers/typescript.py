"""The client in TypeScript, installed and compiled in a folder of its own."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

SOURCE = ROOT / "client" / "examples" / "typescript"
FILES = (".npmrc", "package.json", "package-lock.json", "tsconfig.json", "inference.proto", "qface.ts")
FOLDER = ROOT / "var" / "typescript"  # kept between runs: packages are fetched once
# What npm writes where it can't reach its registry, rather than of a package that is wrong.
UNREACHABLE = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ENETUNREACH",
    "EHOSTUNREACH",
)


def compiled_client() -> Path:
    """The program that Node runs. Skips where there is no Node 20, no npm, or no way to npm's registry."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node or npm is not installed: the client in TypeScript needs Node 20 or newer")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 20:
        pytest.skip(f"node is {version}: the client in TypeScript needs Node 20 or newer")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(SOURCE / name, FOLDER / name)
    _install(npm)
    _run([npm, "run", "--silent", "build"])
    return FOLDER / "dist" / "qface.js"


def _install(npm: str) -> None:
    locked = b"".join((FOLDER / name).read_bytes() for name in (".npmrc", "package-lock.json"))
    digest, installed = hashlib.sha256(locked).hexdigest(), FOLDER / "node_modules" / ".installed"
    if installed.is_file() and installed.read_text() == digest:
        return
    ended = subprocess.run(
        [npm, "ci", "--fetch-retries=1"], cwd=FOLDER, capture_output=True, text=True, timeout=180
    )
    if ended.returncode and any(word in ended.stderr for word in UNREACHABLE):
        pytest.skip("npm can't reach its registry: the packages of the client in TypeScript are not here")
    assert ended.returncode == 0, ended.stderr
    installed.write_text(digest)


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=180)
    assert ended.returncode == 0, ended.stdout + ended.stderr
