"""manifest.json of an assembled repository: what it was made of, so that anybody can check it."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from build.errors import BuildError
from build.files import replace_file, sha256_of_file
from runtime.contract import Contract

MANIFEST = "manifest.json"
PLAN = "plan"  # the key of the serving plan, from which the same repository is assembled again
# What a repository is made of; changes elsewhere don't make its git revision another.
_SHIPPED = ("build", "runtime", "model_repository", "weights")
_PACKAGES = (
    "numpy",
    "onnx",
    "onnxruntime",
    "opencv-python-headless",
    "openvino",
    "simplejpeg",
    "tritonclient",
    "nvidia-pytriton",
    "tensorrt",
    "tensorrt-rtx-cu13",
)


# What a file of a repository is made from: its content, or another file.
Content = bytes | Path


def manifest(
    *,
    files: Mapping[str, str],
    contract: Contract,
    stages: Mapping[str, Any],
    plan: Mapping[str, Any],
    source: Path,
    further_contracts: Mapping[str, Contract] | None = None,
) -> dict[str, Any]:
    """What is written: every file's sha256 (`files`), every stage's, versions, contract and git revision.

    `further_contracts` are those of further networks by their names; `plan` is a serving plan as JSON.
    """
    further = {
        name: {"contract": other.hash, "tasks": list(other.names)}
        for name, other in (further_contracts or {}).items()
    }
    return {
        "contract": contract.hash,
        "tasks": list(contract.names),
        **({"also": further} if further else {}),
        "stages": stages,
        PLAN: plan,
        "files": dict(files),
        "versions": {"python": platform.python_version()} | package_versions(),
        "git_revision": git_revision(source),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def renew(repository: Path, about: Mapping[str, Any]) -> None:
    """Rewrites the manifest of a repository whose content is right already, if it differs from `about`.

    The versions and the git revision may differ where the content doesn't; only the date is no reason.
    """
    path = repository / MANIFEST
    recorded = json.loads(path.read_text())
    if {**recorded, "created": about["created"]} != json.loads(to_json(about)):
        replace_file(path, to_json(about))


def to_json(about: Mapping[str, Any]) -> bytes:
    """The manifest as it is written."""
    return json.dumps(about, indent=1).encode()


def read_manifest(repository: Path) -> dict[str, Any]:
    """A repository's manifest; BuildError where there is none, or none that can be read."""
    path = repository / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        complete = (
            isinstance(manifest["files"], dict)
            and "contract" in manifest
            and isinstance(manifest["stages"]["engine"]["target"], str)
            and set(manifest.get("also", {})) == set(manifest["stages"].get("also", {}))
        )
    except FileNotFoundError:
        raise BuildError(
            f"{repository} has no {MANIFEST}, so its content is unknown: assemble a repository with "
            "`make repository`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildError(f"{path} can't be read ({error}): assemble the repository again") from None
    if not complete:
        raise BuildError(f"{path} is not complete: assemble the repository again")
    return manifest


def sha256_of(files: Mapping[str, Content]) -> dict[str, str]:
    """The files' sha256 by their path, sorted."""
    found = {}
    for name in sorted(files):
        content = files[name]
        digest = sha256_of_file(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
        found[name] = digest
    return found


def content_hash(digests: Mapping[str, str], stages: Mapping[str, Any]) -> str:
    """12 hexadecimal digits over all that decides what a repository does and records.

    `digests` are its files' sha256 by their path.
    """
    content = json.dumps({"files": digests, "stages": stages}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def intact(repository: Path) -> bool:
    """Whether a repository holds exactly the files that its manifest names, unchanged."""
    try:
        return not file_faults(repository, read_manifest(repository)["files"])
    except BuildError:
        return False


def file_faults(repository: Path, expected: Mapping[str, str]) -> list[str]:
    """What differs between a repository's files and their sha256 in its manifest, in words.

    A further directory, even an empty one, is a fault too: among the models it stops Triton. So is
    Python's byte code, which would be executed instead of the source beside it.
    """
    folders = {str(parent) for name in expected for parent in Path(name).parents}
    faults: list[str] = []
    found: dict[str, Content] = {}
    try:
        for path in sorted(repository.rglob("*")):
            name = str(path.relative_to(repository))
            if name == MANIFEST:
                continue
            if not path.is_dir():
                found[name] = path
            elif name not in folders:
                faults.append(f"{name} is a directory too many")
        digests = sha256_of(found)
    except OSError as error:
        return [f"{error.filename} can't be read ({error.strerror})"]
    for name in sorted({*expected, *digests}):
        if name not in digests:
            faults.append(f"{name} is missing")
        elif name not in expected:
            faults.append(f"{name} is a file too many")
        elif digests[name] != expected[name]:
            faults.append(f"{name} was changed")
    return faults


def report_path(onnx_file: Path) -> Path:
    """Where `build.stages.export` leaves its report about an ONNX file."""
    return onnx_file.with_name(f"{onnx_file.name}.json")


def package_versions(*packages: str) -> dict[str, str]:
    """The versions of these packages, as far as installed; by default of those that decide the answers."""
    found = {}
    for package in packages or _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_revision(source: Path) -> str | None:
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
