"""fp16 and bf16 as a matter of the graph: casts and 16-bit weights, as strongly typed engines want them."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from build.errors import BuildError
from build.lowering.onnx_file import LOW_FLOATS, element_types
from build.lowering.precision_exclusions import ExcludedNode
from build.lowering.quiet import quiet
from build.onnx_interface import PIXELS
from build.precisions import Precision

# fp16 holds 65504. A node whose values come closer than a sixteenth of that stays fp32: faces that were
# not seen here may go further.
FP16_LARGEST = 4096.0
_LOGGERS = ("modelopt.onnx", "modelopt.onnx.autocast")
_SKIPPED = re.compile(r"Skipping node (\S+): (.+)")
_RANGE = re.compile(r"out of range: min=(\S+), max=(\S+?),? ")


def to_16_bits(
    model: onnx.ModelProto, *, precision: Precision, faces: NDArray[np.uint8] | None, keep: Mapping[str, str]
) -> tuple[onnx.ModelProto, tuple[ExcludedNode, ...], dict[str, Any]]:
    """The network in fp16 or bf16 with fp32 answers; the nodes left in fp32; how many were lowered.

    `model` has fp32 weights and named nodes; `faces` [N, S, S, 3] show how large values become, so that
    in fp16 nodes with too large ones stay fp32 (None: all fit); `keep` names nodes that stay fp32, with
    reasons.
    """
    version = modelopt_version()
    with quiet():
        from modelopt.onnx.autocast import convert_to_mixed_precision  # type: ignore[import-untyped]
    with tempfile.TemporaryDirectory() as place, quiet(*_LOGGERS) as said:
        source, pixels = Path(place) / "model.onnx", Path(place) / "faces.npz"
        source.write_bytes(model.SerializeToString())
        watched = precision == "fp16" and faces is not None
        if faces is not None:
            np.savez(pixels, **{PIXELS: faces})
        try:
            lowered: onnx.ModelProto = convert_to_mixed_precision(
                str(source),
                precision,
                nodes_to_exclude=[f"{re.escape(name)}$" for name in keep],
                data_max=FP16_LARGEST if watched else np.inf,
                keep_io_types=True,
                calibration_data=str(pixels) if watched else None,
            )
        except Exception as error:  # whatever a converter stumbles over
            raise BuildError(
                f"modelopt {version} can't turn the network into {precision} "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]}): choose another precision"
            ) from None
    kept, converted, total = _account(model, lowered, precision=precision, keep=keep, said=said)
    details = {
        "converted": converted,
        "nodes": total,
        "opset": lowered.opset_import[0].version,
        "modelopt": version,
    }
    return lowered, kept, details


def _account(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    *,
    precision: Precision,
    keep: Mapping[str, str],
    said: list[str],
) -> tuple[tuple[ExcludedNode, ...], int, int]:
    """The nodes that stayed fp32, the number that did not, and of all that could."""
    types = element_types(before)
    floating = [node.name for node in before.graph.node if types.get(node.output[0]) == TensorProto.FLOAT]
    lowered_types = element_types(after)
    low = {node.name for node in after.graph.node if lowered_types.get(node.output[0]) in LOW_FLOATS}
    told = {found[1]: found[2] for line in said if (found := _SKIPPED.search(line))}
    kept = []
    for name in floating:
        if name in keep:
            kept.append(ExcludedNode(name=name, why=keep[name], listed=True))
        elif name not in low:
            kept.append(ExcludedNode(name=name, why=_why(told.get(name), precision=precision)))
    return tuple(kept), len(floating) - len(kept), len(floating)


def _why(told: str | None, *, precision: Precision) -> str:
    if told is None:
        return f"ONNX has no {precision} for it"
    if found := _RANGE.search(told):
        return (
            f"its values reach from {float(found[1]):.4g} to {float(found[2]):.4g}, too far for {precision}"
        )
    return told


def modelopt_version() -> str:
    """The installed modelopt's version; BuildError where there is none."""
    with quiet():
        try:
            import modelopt  # type: ignore[import-untyped]
        except ImportError:
            raise BuildError(
                "nvidia-modelopt, which lowers the precision, is not installed here: "
                "run this with the Python of .venv"
            ) from None
    return str(modelopt.__version__)
