"""What the stages leave for one another: the names of the files, and the reports in their records."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from build.precisions import Precision

NETWORK = "model.onnx"  # the network, as an export or a precision stage left it
# The network as it was exported travels along: a repository takes its interface from it, and runs it on
# the CPU beside a GPU's engine.
EXPORTED = "exported.onnx"
ENGINE_MANIFEST = "manifest.json"

# The largest difference from torch: batch size -> output -> difference.
Parity = Mapping[str, Mapping[str, float]]


class CheckpointReport(TypedDict):
    """Of the stage that makes a checkpoint with random weights."""

    checkpoint: str  # its file's name


class ReferenceFaces(TypedDict):
    """The real faces on which answers are compared, and how the export did on them."""

    photo: str
    count: int
    parity: Parity
    blind: list[str]  # outputs that differ too little over these faces to show a low precision's effect


class OnnxReport(TypedDict):
    """Of an ONNX file that was exported from a checkpoint; lies beside it."""

    checkpoint_sha256: str
    onnx_sha256: str
    bytes: int
    opset: int
    nodes: int
    versions: Mapping[str, str]
    tolerances: Mapping[str, float]
    parity: Parity


class ExportReport(OnnxReport):
    """Of the export stage."""

    faces: ReferenceFaces
    parameters: int
    trained: bool


class PrecisionReport(TypedDict):
    """Of the precision stage."""

    target: str
    precision: Precision
    network: str  # the name of the file that the target reads
    files: Mapping[str, str]  # the network's files' sha256 by their names
    kept: list[dict[str, Any]]  # nodes at a higher precision, and why
    details: Mapping[str, Any]
    onnx: Mapping[str, str]  # onnx_sha256, checkpoint_sha256
    exported: Mapping[str, Any]  # parity, faces and tolerances of the export
    contract: Mapping[str, Any]
    parameters: int
    trained: bool


class EngineReport(TypedDict):
    """Of the compile stage; the engine's manifest."""

    target: str
    precision: Precision
    files: Mapping[str, str]
    bytes: int
    layers: Mapping[str, Any]
    kept: list[dict[str, Any]]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    needs: str
    trained: bool
    tolerances: Mapping[str, float]
    tolerated_fp32_share: float
    onnx: Mapping[str, str]
    exported: Mapping[str, Any]
    contract: str  # its hash
    details: Mapping[str, Any]
    git_revision: str | None
    parity: NotRequired[Mapping[str, Any]]
    metrics: NotRequired[Mapping[str, Any]]
    speed: NotRequired[Mapping[str, Any]]
