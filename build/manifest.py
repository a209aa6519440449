"""manifest.json of an assembled repository: what it was made of, so that anybody can tell and check."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from build.graph import Graph

MANIFEST = "manifest.json"
_PACKAGES = (
    "numpy",
    "onnx",
    "onnxruntime",
    "opencv-python-headless",
    "openvino",
    "tritonclient",
    "nvidia-pytriton",
)


def manifest(
    *, files: Mapping[str, bytes], contract: Mapping[str, Any], stages: Mapping[str, Any], source: Path
) -> dict[str, Any]:
    """What is written: every file's sha256, every stage's, versions, contract and git revision."""
    return {
        "contract": contract["hash"],
        "tasks": [entry["name"] for entry in contract["tasks"]],
        "stages": stages,
        "files": sha256_of(files),
        "versions": {"python": platform.python_version()} | package_versions(),
        "git_revision": _git_revision(source),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def sha256_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """The files' sha256 by their path, sorted."""
    return {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}


def content_hash(files: Mapping[str, bytes], stages: Mapping[str, Any]) -> str:
    """12 hexadecimal digits over all that decides what a repository does and says of itself."""
    content = json.dumps({"files": sha256_of(files), "stages": stages}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def intact(repository: Path) -> bool:
    """Whether a repository holds exactly the files that its manifest names, unchanged."""
    try:
        expected = json.loads((repository / MANIFEST).read_text())["files"]
        found = {
            str(path.relative_to(repository)): path.read_bytes()
            for path in repository.rglob("*")
            # Python writes its byte code beside lib/.
            if path.is_file() and path.name != MANIFEST and "__pycache__" not in path.parts
        }
    except (OSError, KeyError, TypeError, ValueError):
        return False
    return bool(sha256_of(found) == expected)


def onnx_stages(graph: Graph) -> dict[str, Any]:
    """The stages behind an ONNX file, with the parity report that lies beside it."""
    stages: dict[str, Any] = {"onnx": {"file": graph.path.name, "sha256": graph.sha256}}
    if "checkpoint_sha256" in graph.metadata:
        stages["checkpoint"] = {"sha256": graph.metadata["checkpoint_sha256"]}
    report = read_report(report_path(graph.path), sha256=graph.sha256)
    if report is not None:
        stages["onnx"]["parity"] = report["parity"]
    return stages


def report_path(onnx_file: Path) -> Path:
    """Where `build.onnx` leaves its report about an ONNX file."""
    return onnx_file.with_name(f"{onnx_file.name}.json")


def engine_report_path(output: Path, *, precision: str) -> Path:
    """Where `build.engine` leaves its report below the directory of the repositories."""
    return output / "engine" / f"cpu-{precision}.json"


def read_report(path: Path, *, sha256: str) -> dict[str, Any] | None:
    """A parity report about the ONNX file of this sha256; None when there is none about it."""
    try:
        report: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return report if report.get("onnx_sha256") == sha256 else None


def package_versions() -> dict[str, str]:
    """The versions of the installed packages that decide what an engine answers."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git_revision(source: Path) -> str | None:
    """The commit of the sources, with `-dirty` where they differ from it; None without git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=source,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
