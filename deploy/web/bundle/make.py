"""Makes the bundle: all of it, or nothing of it.

A bundle is a folder of its own beside the link that names it: `var/web/bundle` -> `bundle-k3w9x2`. The link
is replaced in one step once every file is written, so that whoever reads finds the one or the other.
"""

import functools
import gzip
import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from build.errors import BuildError
from build.files import ROOT, sha256_of_file, why_unwritten
from build.onnx_interface import read_graph
from build.serving import notice
from build.stages.stage import only_one, sha256_of_input
from deploy.web.bundle import runtime
from deploy.web.bundle.contents import MANIFEST, PACKED_SUFFIX, BundleMissing, read_bundle, read_manifest
from runtime.answering.quality import quality_parameters
from runtime.detect.detector_file import find_detector
from runtime.detect.search import USUAL_LIMITS

NETWORK = ROOT / "weights" / "qface-tiny-open.onnx"
NETWORK_LICENCE = ROOT / "weights" / "LICENSE-open"
DETECTOR = "detector.onnx"
_SERVED_AS = "qface"  # what GET /v1/tasks calls the network
_WORTH = 0.9  # of its bytes: what gzip does not bring below lies there without one

_WHEEL = runtime.PACKAGE.removesuffix("-web")  # of the same project; unlike the npm package it has licences

RuntimeFiles = Callable[[], Mapping[str, bytes]]


def make_bundle(
    output: Path, *, package: Path | None = None, log: Callable[[str], None], load: RuntimeFiles | None = None
) -> bool:
    """Makes the bundle at `output` where there is none of the same inputs; whether it did.

    package  what `npm pack` has made, in the place of the registry's
    load     gives the runtime's files, in the place of both

    BuildError with a sentence where it can't be made; what was there stays.
    """
    with only_one(output.parent, log=log):  # a second one finds what the first has made
        made_of = _inputs()
        if _is_made_of(output, made_of):
            return False
        if output.exists() and not output.is_symlink():
            raise BuildError(f"{output} is a folder that was not made here: move it away, or name another")
        files = {
            **_runtime_files(output, load or _loader(package, log)),
            NETWORK.name: NETWORK.read_bytes(),
            f"{NETWORK.stem}.LICENSE.txt": NETWORK_LICENCE.read_bytes(),
        }
        folder = Path()
        try:
            _remove_unused(output)  # of makers that were killed
            folder = Path(tempfile.mkdtemp(prefix=f"{output.name}-", dir=output.parent))
            folder.chmod(0o755)
            _write(folder, files, made_of=made_of)
            _point(output, folder)
        except BaseException as error:
            if folder != Path():
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                size = 2 * sum(map(len, files.values()))
                raise BuildError(f"{output} can't be written {why_unwritten(error, size=size)}") from error
            raise
        _remove_unused(output)
    return True


# -- within ---------------------------------------------------------------------------------------------


def _inputs() -> dict[str, str]:
    """What a bundle is made of, by hashes. BuildError where something is missing."""
    network = sha256_of_input(NETWORK, "network")
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        code.update(path.read_bytes())
    code.update(_settings_text().encode())
    return {
        "code": code.hexdigest(),
        "detector": sha256_of_file(_detector_file()),
        "network": network,
        "runtime": runtime.INTEGRITY,
    }


def _detector_file() -> Path:
    try:
        return find_detector()
    except FileNotFoundError as error:
        raise BuildError(str(error)) from None


def _is_made_of(bundle: Path, inputs: Mapping[str, str]) -> bool:
    try:
        if read_manifest(bundle).get("made_of") != inputs:
            return False
        read_bundle(bundle)  # what serves it compares every byte too
    except BundleMissing:
        return False
    return True


def _loader(package: Path | None, log: Callable[[str], None]) -> RuntimeFiles:
    return functools.partial(runtime.runtime_files, package=package, log=log)


def _runtime_files(bundle: Path, load: RuntimeFiles) -> dict[str, bytes]:
    """The runtime and its licences; out of the bundle before this one where that has the same."""
    try:
        if read_manifest(bundle).get("made_of", {}).get("runtime") == runtime.INTEGRITY:
            kept = read_bundle(bundle)
            return {name: kept[name].content for name in kept if name.startswith(f"{runtime.FOLDER}/")}
    except BundleMissing:
        pass
    return {**load(), **_runtime_licences()}


def _runtime_licences() -> dict[str, bytes]:
    """The texts that go with the runtime."""
    module = importlib.util.find_spec(_WHEEL)
    folder = Path() if module is None or module.origin is None else Path(module.origin).parent
    texts = {}
    for source, name in (("LICENSE", "LICENSE.txt"), ("ThirdPartyNotices.txt", "ThirdPartyNotices.txt")):
        try:
            texts[f"{runtime.FOLDER}/{name}"] = (folder / source).read_bytes()
        except OSError:
            raise BuildError(
                f"the licence of {_WHEEL} is not here, as it is not installed: use .venv-serve or .venv"
            ) from None
    return texts


def _settings_text() -> str:
    """What the page is to know of the network beside its file, as JSON; as GET /v1/tasks has it."""
    taken = {**USUAL_LIMITS.parameters(), **quality_parameters(read_graph(NETWORK).contract)}
    parameters = {name: each.to_json() for name, each in taken.items()}
    settings = {
        "name": _SERVED_AS,
        "precision": "fp32",
        "notice": notice.DEFAULT,
        "request_parameters": parameters,
    }
    return json.dumps(settings)


def _write(folder: Path, files: Mapping[str, bytes], *, made_of: Mapping[str, str]) -> None:
    """All files, the manifest last. OSError, BuildError."""
    from deploy.web.bundle.detector_onnx import write_detector  # brings OpenVINO: only where one is made

    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    try:
        write_detector(folder / DETECTOR)
    except ValueError as error:
        raise BuildError(f"the detector can't be written as ONNX: {error}") from error
    entries = {
        name: _entry(folder, name, (folder / name).read_bytes()) for name in sorted({*files, DETECTOR})
    }
    manifest: dict[str, Any] = {
        "files": entries,
        "network": NETWORK.name,
        "detector": DETECTOR,
        "runtime": runtime.ENTRY,
        "runtime_webgpu": runtime.ENTRY_WEBGPU,
        "versions": {runtime.PACKAGE: runtime.VERSION, NETWORK.stem: made_of["network"][:12]},
        **json.loads(_settings_text()),
        "made_of": made_of,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def _entry(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    """A file's entry in the manifest; writes its gzip beside it where that is clearly smaller."""
    entry: dict[str, Any] = _identity(content)
    packed = gzip.compress(content, mtime=0)
    if len(packed) < _WORTH * len(content):
        (folder / f"{name}{PACKED_SUFFIX}").write_bytes(packed)
        entry["gzip"] = _identity(packed)
    return entry


def _identity(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _point(output: Path, folder: Path) -> None:
    """Makes the link name another folder, in one step."""
    new = output.with_name(f".{output.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(folder.name)
    new.replace(output)


def _remove_unused(output: Path) -> None:
    """Removes the folders beside the link that it does not name. Only while no other maker is at work."""
    used = output.resolve()
    for folder in _folders(output):
        if folder.resolve() != used:
            shutil.rmtree(folder, ignore_errors=True)


def _folders(output: Path) -> Iterator[Path]:
    for path in output.parent.glob(f"{output.name}-*"):
        if path.is_dir() and not path.is_symlink():
            yield path
