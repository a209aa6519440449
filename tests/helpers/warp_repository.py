"""A repository of face_preprocess and face_warp alone, as one for a GPU has them; face_warp is the CPU's."""

import dataclasses
from pathlib import Path

from build.backends import default_backend
from build.config import WEIGHTS
from build.onnx_interface import read_graph
from build.serving.host_settings import HostSettings
from build.serving.repository_content import content_of
from build.serving.servable_network import ServableNetwork
from runtime.detect.search import USUAL_LIMITS
from tests.helpers import tiny_repository

LONELY = "other_face_preprocess"  # a step whose face_warp is missing


def write(folder: Path, *, calls: bool = True, instances: int = 2) -> Path:
    """Makes the repository in `folder`; `calls` False: its steps decode by themselves."""
    gpu = default_backend("gpu").settings()
    network = ServableNetwork(graph=read_graph(WEIGHTS), files={}, engine=gpu, stages={}, pipeline=b"")
    host = HostSettings.for_host("gpu", 2)
    step = dataclasses.replace(host.face_preprocess, instances=instances)
    files = content_of(
        [(network.network(tasks=None), network), (network.network(tasks=None, name="other"), network)],
        detector=b"",
        limits=USUAL_LIMITS,
        host=dataclasses.replace(host, face_preprocess=step),
    )
    kept = ("lib/", "models/face_preprocess/", f"models/{LONELY}/", "models/face_warp/")
    for name, content in files.items():
        # A step's own configuration for a CPU calls no other model.
        if name.startswith(kept) and not (calls and name.endswith("preprocess/configs/cpu.pbtxt")):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return tiny_repository.seal(folder)
