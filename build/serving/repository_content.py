"""What goes into a repository: models for Triton, the library that they import, and the face detector."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from build.config import MODEL_REPOSITORY, generated_for
from build.detector import find_detector, package_version
from build.errors import BuildError
from build.files import ROOT
from build.manifest import Content, sha256_of
from build.preprocessing.face_warp import FACE_WARP, PIPELINE_FILE, PROGRAM
from build.serving.host_settings import HostSettings
from build.serving.photo_models import DETECTOR_FILE
from build.serving.servable_network import ServableNetwork
from build.serving.served_models import python_models
from build.serving.served_network import Network
from runtime.detect.detector_file import PACKAGE
from runtime.detect.search import SearchLimits


def content_of(
    served: Sequence[tuple[Network, ServableNetwork]],
    *,
    detector: bytes,
    limits: SearchLimits,
    host: HostSettings,
    notice: str | None = None,
) -> dict[str, Content]:
    """All files of a repository by their paths in it, but for its manifest.

    `served` are the networks as they are served, each with its engine's files; `detector` is the face
    detector's .tflite; `limits` are the bounds of requests' parameters; `host` has the instances, threads
    and queues; `notice` is the text beside the contract (None: the default one).
    """
    files = _models([network for network, _ in served], limits=limits, host=host, notice=notice) | _library()
    for network, servable in served:
        engine = f"models/{network.prefix}face_engine/1"
        files |= {f"{engine}/{name}": path for name, path in servable.files.items()}
        if servable.pipeline is not None:
            warp = f"models/{network.model_name(FACE_WARP)}/1"
            files |= {f"{warp}/{PIPELINE_FILE}": servable.pipeline, f"{warp}/model.py": PROGRAM.read_bytes()}
        files[f"models/{network.model_name('photo_analysis')}/1/{DETECTOR_FILE}"] = detector
    files[f"models/face_detect/1/{DETECTOR_FILE}"] = detector
    return files | _no_byte_code(files)


def read_detector(path: Path | None) -> tuple[bytes, dict[str, Any]]:
    """The face detector's .tflite, and what the manifest records of it; None: the installed package's."""
    stage: dict[str, Any] = {}
    if path is None:
        path = find_detector()
        stage = {"package": PACKAGE, "version": package_version()}
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BuildError(
            f"the face detector's weights at {path} can't be read ({error.strerror}): "
            "name the .tflite file with --detector"
        ) from None
    return data, stage | {"file": path.name, "sha256": sha256_of({"": data})[""]}


def _models(
    networks: Sequence[Network], *, limits: SearchLimits, host: HostSettings, notice: str | None
) -> dict[str, Content]:
    files: dict[str, Content] = {
        f"{model}/1/model.py": (MODEL_REPOSITORY / source / "1" / "model.py").read_bytes()
        for model, source in python_models(networks).items()
    }
    files |= generated_for(networks, limits=limits, host=host, notice=notice)
    return {f"models/{name}": content for name, content in files.items()}


def _library() -> dict[str, Content]:
    """The code that the model.py files import, so that a repository stands on its own."""
    sources = sorted((ROOT / "runtime").rglob("*.py"))
    return {f"lib/{path.relative_to(ROOT)}": path.read_bytes() for path in sources}


def _no_byte_code(files: Mapping[str, Content]) -> dict[str, Content]:
    """A file where Python would make its directory of byte code, beside every program.

    The backend's Python does not look at PYTHONDONTWRITEBYTECODE. What it left here would be executed at
    the next start in place of the sources, and no manifest could name it.
    """
    folders = {str(Path(name).parent) for name in files if name.endswith(".py")}
    return {f"{folder}/__pycache__": b"" for folder in sorted(folders)}
