"""OpenVINO's engine for the CPU; the server compiles it again as it loads it, from the same file."""

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.backends import Engine, Layer
from build.errors import BuildError
from build.onnx_interface import PIXELS
from runtime.engines.openvino import OpenVinoEngine, Precision

_MULTIPLYING = (
    "Convolution",
    "Deconvolution",
    "FullyConnected",
    "MatMul",
    "ScaledDotProductAttention",
    "MHA",
    "QKVProjection",
    "LLMMLP",
)
# A kernel that was generated for several operations; it multiplies where one of them did.
_FUSED = "Subgraph"
_PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}


def build(network: Path, *, precision: Precision, threads: int, streams: int) -> Engine:
    """Compiles `network` (model.onnx, or model.xml with its model.bin) as the server will.

    `threads` 0 is every core. Raises BuildError where OpenVINO refuses the network.
    """
    try:
        compiled = OpenVinoEngine(network, precision=precision, threads=threads or None, streams=streams)
    except (RuntimeError, ValueError, FileNotFoundError) as error:
        raise BuildError(f"OpenVINO can't compile {network} ({_first_line(error)})") from None

    def infer(pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        return compiled.infer({PIXELS: pixels})

    if network.suffix == ".xml":
        files = {"model.xml": network, "model.bin": network.with_suffix(".bin")}
    else:
        files = {"model.onnx": network}
    return Engine(
        files=files,
        layers=_layers(compiled.executed_graph()),
        layers_from="executed graph",
        versions={"openvino": importlib.metadata.version("openvino")},
        settings={"hint": _PRECISIONS[compiled.hint], "threads": threads, "streams": streams},
        infer=infer,
    )


def _layers(executed: Any) -> tuple[Layer, ...]:
    found = []
    for node in executed.get_ordered_ops():
        about = {key: str(value.astype(str)) for key, value in node.get_rt_info().items()}
        kind = about.get("layerType", "")
        made_of = about.get("originalLayersNames", "")
        if kind in _MULTIPLYING or (kind == _FUSED and "matmul" in made_of.lower()):
            spelled = about["runtimePrecision"]
            found.append(
                Layer(
                    name=made_of.strip(",") or node.get_friendly_name(),
                    kind=kind,
                    precision=_PRECISIONS.get(spelled, spelled),
                )
            )
    return tuple(found)


def _first_line(error: Exception) -> str:
    """OpenVINO's errors are some lines with places of its source; the last one says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
