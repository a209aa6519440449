"""fp16 and bf16 in the ONNX graph: casts and 16-bit weights, as strongly typed engines read them."""

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
from build.lowering.silenced_libraries import quiet
from build.onnx_interface import PIXELS
from build.precisions import Precision, format_of

# fp16 holds 65504. A node whose values come closer than a sixteenth of that stays fp32: faces that were
# not seen here may go further.
FP16_LARGEST = 4096.0
_LOGGERS = ("modelopt.onnx", "modelopt.onnx.autocast")
_SKIPPED = re.compile(r"Skipping node (\S+): (.+)")
_RANGE = re.compile(r"out of range: min=(\S+), max=(\S+?),? ")


def to_16_bits(
    model: onnx.ModelProto,
    *,
    precision: Precision,
    faces: NDArray[np.uint8] | None,
    exclusions: Mapping[str, str],
) -> tuple[onnx.ModelProto, tuple[ExcludedNode, ...], dict[str, Any]]:
    """The network in fp16 or bf16 with fp32 answers; the nodes left in fp32; how many were lowered.

    `model` has fp32 weights and named nodes; `faces` [N, S, S, 3] show how large values become, so that
    nodes with too large ones for fp16 stay fp32 (None: all fit); `exclusions` names nodes that stay
    fp32, with reasons.
    """
    version = modelopt_version()
    with quiet():
        from modelopt.onnx.autocast import convert_to_mixed_precision  # type: ignore[import-untyped]
    with tempfile.TemporaryDirectory() as place, quiet(*_LOGGERS) as messages:
        source, pixels = Path(place) / "model.onnx", Path(place) / "faces.npz"
        source.write_bytes(model.SerializeToString())
        watched = not format_of(precision).fp32_range and faces is not None
        if faces is not None:
            np.savez(pixels, **{PIXELS: faces})
        try:
            lowered: onnx.ModelProto = convert_to_mixed_precision(
                str(source),
                precision,
                nodes_to_exclude=[f"{re.escape(name)}$" for name in exclusions],
                data_max=FP16_LARGEST if watched else np.inf,
                keep_io_types=True,
                calibration_data=str(pixels) if watched else None,
            )
        except Exception as error:  # whatever a converter stumbles over
            raise BuildError(
                f"modelopt {version} can't turn the network into {precision} "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]}): choose another precision"
            ) from None
    excluded, converted, total = _account(
        model, lowered, precision=precision, exclusions=exclusions, messages=messages
    )
    details = {
        "converted": converted,
        "nodes": total,
        "opset": lowered.opset_import[0].version,
        "modelopt": version,
    }
    return lowered, excluded, details


def _account(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    *,
    precision: Precision,
    exclusions: Mapping[str, str],
    messages: list[str],
) -> tuple[tuple[ExcludedNode, ...], int, int]:
    """The nodes that stayed fp32, the number that did not, and of all that could."""
    types = element_types(before)
    floating = [node.name for node in before.graph.node if types.get(node.output[0]) == TensorProto.FLOAT]
    lowered_types = element_types(after)
    low = {node.name for node in after.graph.node if lowered_types.get(node.output[0]) in LOW_FLOATS}
    reasons = {found[1]: found[2] for line in messages if (found := _SKIPPED.search(line))}
    excluded = []
    for name in floating:
        if name in exclusions:
            excluded.append(ExcludedNode(name=name, reason=exclusions[name], listed=True))
        elif name not in low:
            excluded.append(ExcludedNode(name=name, reason=_reason(reasons.get(name), precision=precision)))
    return tuple(excluded), len(floating) - len(excluded), len(floating)


def _reason(message: str | None, *, precision: Precision) -> str:
    if message is None:
        return f"ONNX has no {precision} for it"
    if found := _RANGE.search(message):
        return (
            f"its values reach from {float(found[1]):.4g} to {float(found[2]):.4g}, too far for {precision}"
        )
    return message


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
