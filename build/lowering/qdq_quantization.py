"""int8 and fp8 as Q/DQ nodes in the ONNX file: modelopt quantises, and the costliest layers are reverted.

The quantised network is run with its exact rounding (`build.lowering.gpu_rounding`) on faces held out of the
calibration. While the worst answer is too far from fp32's, the layer that costs most loses its Q/DQ
nodes, up to `MOST_REVERTED` layers; what came closest stands. Whether that is served is decided by the
acceptance gate.
"""

import re
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from build.backends.base import Log
from build.errors import BuildError
from build.lowering.answer_drift import AnswerDrift, split_faces
from build.lowering.gpu_rounding import rounded_model
from build.lowering.half_precision import modelopt_version, to_16_bits
from build.lowering.precision_exclusions import ExcludedNode, excluded_nodes, onnx_nodes
from build.lowering.silenced_libraries import quiet
from build.onnx_interface import PIXELS
from build.precisions import Precision
from runtime.contract import Contract

MOST_REVERTED = 20
# How far the answers may be from fp32's in units of their tolerances: fp16 and a GPU's own order of
# sums need the rest.
MAX_DRIFT = 0.8
_HELD_OUT = 64
_RANKED_ON = 32
_CALIBRATED_ON = 512
_BATCH = 16
_QUANTISED_TYPES = ("Conv", "MatMul", "Gemm")
_LEFT_OUT = "products of two activations, and those with a single row or column, gain nothing"


def quantised(
    model: onnx.ModelProto,
    *,
    precision: Precision,
    contract: Contract,
    faces: NDArray[np.uint8],
    log: Log,
) -> tuple[onnx.ModelProto, tuple[ExcludedNode, ...], dict[str, Any]]:
    """The network with Q/DQ nodes and everything else in fp16; the excluded nodes; the measurements.

    `model` has fp32 weights and named nodes. `faces` [N, S, S, 3] are real crops: most calibrate, and
    drift is measured on those held out.
    """
    version = modelopt_version()
    exclusions = excluded_nodes(onnx_nodes(model), precision=precision)
    split = split_faces(faces, held_out=_HELD_OUT, calibration=_CALIBRATED_ON)
    log(f"{precision}: calibrating on {len(split.calibration)} faces")
    result = _quantise(
        model, precision=precision, faces=split.calibration, excluded=list(exclusions), version=version
    )
    drift = AnswerDrift(rounded_model(model), contract=contract, precision=precision, faces=split.held_out)
    result, reverted = _revert(result, drift=drift, precision=precision, log=log)
    excluded = [ExcludedNode(name=name, reason=reason, listed=True) for name, reason in exclusions.items()]
    excluded += [
        ExcludedNode(name=name, reason=f"in {precision} it took the answers out of tolerance")
        for name in reverted
    ]
    layers = [node.name for node in model.graph.node if node.op_type in _QUANTISED_TYPES]
    known = {node.name for node in excluded}.union(_quantised_layers(result))
    excluded += [ExcludedNode(name=name, reason=_LEFT_OUT) for name in layers if name not in known]
    details: dict[str, Any] = {
        "calibration_faces": len(split.calibration),
        "held_out_faces": len(split.held_out),
        "layers": len(layers),
        "quantised": len(_quantised_layers(result)),
        "taken_back": len(reverted),
        "most_taken_back": MOST_REVERTED,
        "aimed_at": MAX_DRIFT,
        "modelopt": version,
    }
    in_fp16 = excluded_nodes(onnx_nodes(model), precision="fp16")
    # ONNX Runtime can't watch values in an fp8 network; an overflow would show in what is measured here.
    result, also, about = to_16_bits(result, precision="fp16", faces=None, exclusions=in_fp16)
    known = {node.name for node in excluded}
    excluded += [node for node in also if node.name not in known]
    details |= {"converted": about["converted"], "nodes": about["nodes"]}
    measured = drift.by_output(rounded_model(result))
    details["opset"] = result.opset_import[0].version
    details["of_tolerance"] = {name: round(value, 3) for name, value in measured.items()}
    details["within_tolerance"] = bool(max(measured.values()) <= 1)
    worst = max(measured.values())
    log(
        f"{precision}: {details['quantised']} of {len(layers)} layers, {len(reverted)} reverted; on "
        f"{len(split.held_out)} faces held out the answers are {worst:.2f} of their tolerance away"
    )
    return result, tuple(excluded), details


def _quantise(
    model: onnx.ModelProto,
    *,
    precision: Precision,
    faces: NDArray[np.uint8],
    excluded: list[str],
    version: str,
) -> onnx.ModelProto:
    with quiet("modelopt.onnx"):
        from modelopt.onnx.quantization import quantize  # type: ignore[import-untyped]
    with tempfile.TemporaryDirectory() as place, quiet("modelopt.onnx"):
        source, target = Path(place) / "model.onnx", Path(place) / "quantised.onnx"
        source.write_bytes(model.SerializeToString())
        try:
            quantize(
                str(source),
                quantize_mode=precision,
                calibration_data_reader=_faces_reader(faces),
                calibration_method="max",
                calibration_eps=["cpu"],
                op_types_to_quantize=list(_QUANTISED_TYPES),
                nodes_to_exclude=[f"{re.escape(name)}$" for name in excluded],
                # Products of two activations: each costs as much exactness as a layer, and saves little.
                disable_mha_qdq=True,
                high_precision_dtype="fp32",
                output_path=str(target),
                log_level="WARNING",
            )
            return onnx.load(str(target))
        except Exception as error:  # whatever a quantiser stumbles over
            raise BuildError(
                f"modelopt {version} can't turn the network into {precision} "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]}): choose another precision"
            ) from None


def _faces_reader(faces: NDArray[np.uint8]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._next = 0

        def get_first(self) -> dict[str, NDArray[np.uint8]]:
            return {PIXELS: faces[:_BATCH]}

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = faces[self._next : self._next + _BATCH]
            self._next += _BATCH
            return {PIXELS: batch} if len(batch) else None

        def rewind(self) -> None:
            self._next = 0

    return Reader()


def _cost(drift: AnswerDrift, model: onnx.ModelProto) -> float:
    """The mean square drift on some faces: steadier than the worst, so that layers can be compared."""
    numbers = range(min(_RANKED_ON, len(drift.faces)))
    by_face = drift.by_face(rounded_model(model), numbers)
    return float(np.mean([value**2 for face in by_face for value in face.values()]))


def _revert(
    model: onnx.ModelProto, *, drift: AnswerDrift, precision: Precision, log: Log
) -> tuple[onnx.ModelProto, list[str]]:
    """The network without Q/DQ nodes at its costliest layers, as few as will do; and these layers."""
    worst = max(drift.by_output(rounded_model(model)).values())
    best, reverted, least = model, list[str](), worst
    if worst <= MAX_DRIFT:
        return best, reverted
    layers = _quantised_layers(model)
    log(f"{precision}: {worst:.2f} of the tolerance; looking for the costliest of {len(layers)} layers")
    costs = {
        name: _cost(drift, _without(model, [other for other in layers if other != name])) for name in layers
    }
    ranked = sorted(layers, key=lambda name: -costs[name])
    for count in range(1, min(MOST_REVERTED, len(ranked)) + 1):
        tried = _without(model, ranked[:count])
        worst = max(drift.by_output(rounded_model(tried)).values())
        log(f"{precision}: {worst:.2f} of the tolerance without {count} layers, now {ranked[count - 1]}")
        if worst < least:
            best, reverted, least = tried, ranked[:count], worst
        if worst <= MAX_DRIFT:
            break
    return best, reverted


def _quantised_layers(model: onnx.ModelProto) -> list[str]:
    makers = {name: node for node in model.graph.node for name in node.output}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in _QUANTISED_TYPES and any(_unrounded(name, makers) != name for name in node.input)
    ]


def _without(model: onnx.ModelProto, layers: Collection[str]) -> onnx.ModelProto:
    """A copy in which these layers read what their Q/DQ nodes read, and no such node is idle."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    makers = {name: node for node in copy.graph.node for name in node.output}
    for node in copy.graph.node:
        if node.name in layers:
            for number, name in enumerate(node.input):
                node.input[number] = _unrounded(name, makers)
    outputs = {value.name for value in copy.graph.output}
    for kind in ("DequantizeLinear", "QuantizeLinear"):
        used = outputs.union(*(node.input for node in copy.graph.node))
        nodes = [node for node in copy.graph.node if node.op_type != kind or node.output[0] in used]
        del copy.graph.node[:]
        copy.graph.node.extend(nodes)
    return copy


def _unrounded(name: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    """What a pair of Q and DQ nodes makes the tensor of; its own name where no pair does."""
    dequantise = makers.get(name)
    if dequantise is None or dequantise.op_type != "DequantizeLinear":
        return name
    quantise = makers.get(dequantise.input[0])
    return quantise.input[0] if quantise is not None and quantise.op_type == "QuantizeLinear" else name
