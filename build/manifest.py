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

from build.files import replace_file
from build.graph import Graph

MANIFEST = "manifest.json"
# What a repository is made of; changes elsewhere don't make its git revision another.
_SHIPPED = ("build", "runtime", "model_repository", "weights")
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


def renew(repository: Path, about: Mapping[str, Any]) -> None:
    """Rewrites the manifest of a repository whose content is right already, if it says something else.

    The versions and the git revision may differ where the content doesn't; only the date is no reason.
    """
    path = repository / MANIFEST
    said = json.loads(path.read_text())
    if {**said, "created": about["created"]} != json.loads(to_json(about)):
        replace_file(path, to_json(about))


def to_json(about: Mapping[str, Any]) -> bytes:
    """The manifest as it is written."""
    return json.dumps(about, indent=1).encode()


def sha256_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """The files' sha256 by their path, sorted."""
    return {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}


def content_hash(files: Mapping[str, bytes], stages: Mapping[str, Any]) -> str:
    """12 hexadecimal digits over all that decides what a repository does and says of itself."""
    content = json.dumps({"files": sha256_of(files), "stages": stages}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def intact(repository: Path) -> bool:
    """Whether a repository holds exactly the files that its manifest names, unchanged.

    A further directory, even an empty one, is damage too: among the models it stops Triton.
    """
    try:
        expected = json.loads((repository / MANIFEST).read_text())["files"]
        files, folders = {}, set()
        for path in repository.rglob("*"):
            name = path.relative_to(repository)
            if "__pycache__" in name.parts[2:]:  # Python's byte code, beside sources of ours
                continue
            if path.is_dir():
                folders.add(str(name))
            elif str(name) != MANIFEST:
                files[str(name)] = path.read_bytes()
        needed = {str(parent) for name in expected for parent in Path(name).parents} - {"."}
    except (OSError, KeyError, TypeError, ValueError):
        return False
    return bool(folders == needed and sha256_of(files) == expected)


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


def engine_report(path: Path, *, sha256: str) -> dict[str, Any] | None:
    """What `build.engine` measured of this ONNX file with the OpenVINO that is installed, if it passed."""
    report = read_report(path, sha256=sha256)
    try:
        if report is None or report["versions"]["openvino"] != package_versions()["openvino"]:
            return None
        allowed = report["tolerances"]
        passed = bool(report["parity"]) and all(
            set(by_output) == set(allowed)
            and all(value <= allowed[name] for name, value in by_output.items())
            for by_output in report["parity"].values()
        )
    except (KeyError, TypeError, AttributeError):
        return None
    return report if passed else None


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
    """The commit of the sources, with `-dirty` where what is shipped differs from it; None without git.

    A file that git doesn't know yet is shipped all the same, so it counts as a difference.
    """
    try:
        commit = _git("rev-parse", "HEAD", source=source)
        changed = _git("status", "--porcelain", "--untracked-files=all", "--", *_SHIPPED, source=source)
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str, source: Path) -> str:
    # Without the option, `status` may hold the index's lock while somebody commits.
    command = ["git", "--no-optional-locks", *arguments]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
