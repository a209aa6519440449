"""int8 and fp8 as Q/DQ nodes in the ONNX file: modelopt quantises, and what answers do not bear is undone.

The quantised network is run with its exact rounding (`build.lowering.rounding`) on faces held out of the
calibration. While the worst answer is too far from fp32's, the layer that costs most loses its Q/DQ
nodes, up to `MOST_TAKEN_BACK` layers; what came closest stands. Whether that is served is the engine
step's decision.
"""

import re
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from build.acceptance.parity import Tensors, differences_in_units, tolerances
from build.backends.base import Infer
from build.errors import BuildError
from build.lowering.calibration import evenly
from build.lowering.half_precision import modelopt_version, to_16_bits
from build.lowering.precision_exclusions import ExcludedNode, excluded_nodes, onnx_nodes
from build.lowering.quiet import quiet
from build.lowering.rounding import rounded_model
from build.onnx_interface import PIXELS
from build.precisions import Precision

MOST_TAKEN_BACK = 20
# How far the answers may be from fp32's in units of their tolerances: fp16 and a GPU's own order of
# sums need the rest.
AIM = 0.8
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
    contract: Mapping[str, Any],
    faces: NDArray[np.uint8],
    progress: Callable[[str], None],
) -> tuple[onnx.ModelProto, tuple[ExcludedNode, ...], dict[str, Any]]:
    """The network with Q/DQ nodes and everything else in fp16; what was not quantised; the measures.

    `model` has fp32 weights and named nodes. `faces` [N, S, S, 3] are real crops: most calibrate, some
    are held out to judge by.
    """
    version = modelopt_version()
    keep = excluded_nodes(onnx_nodes(model), precision=precision)
    held = np.zeros(len(faces), dtype=bool)
    held[evenly(len(faces), min(_HELD_OUT, len(faces) // 4))] = True
    others = faces[~held]
    calibrating = others[evenly(len(others), min(_CALIBRATED_ON, len(others)))]
    progress(f"{precision}: calibrating on {len(calibrating)} faces")
    result = _quantise(model, precision=precision, faces=calibrating, keep=list(keep), version=version)
    judge = _Judge(rounded_model(model), contract=contract, precision=precision, faces=faces[held])
    result, taken_back = _take_back(result, judge=judge, precision=precision, progress=progress)
    kept = [ExcludedNode(name=name, why=why, listed=True) for name, why in keep.items()]
    kept += [
        ExcludedNode(name=name, why=f"in {precision} it took the answers out of tolerance")
        for name in taken_back
    ]
    layers = [node.name for node in model.graph.node if node.op_type in _QUANTISED_TYPES]
    known = {node.name for node in kept}.union(_quantised_layers(result))
    kept += [ExcludedNode(name=name, why=_LEFT_OUT) for name in layers if name not in known]
    details: dict[str, Any] = {
        "calibration_faces": len(calibrating),
        "held_out_faces": int(held.sum()),
        "layers": len(layers),
        "quantised": len(_quantised_layers(result)),
        "taken_back": len(taken_back),
        "most_taken_back": MOST_TAKEN_BACK,
        "aimed_at": AIM,
        "modelopt": version,
    }
    low = excluded_nodes(onnx_nodes(model), precision="fp16")
    # ONNX Runtime can't watch values in an fp8 network; an overflow would show in what is measured here.
    result, also, about = to_16_bits(result, precision="fp16", faces=None, keep=low)
    known = {node.name for node in kept}
    kept += [node for node in also if node.name not in known]
    details |= {"converted": about["converted"], "nodes": about["nodes"]}
    measured = judge.by_output(result)
    details["opset"] = result.opset_import[0].version
    details["of_tolerance"] = {name: round(value, 3) for name, value in measured.items()}
    details["within_tolerance"] = bool(max(measured.values()) <= 1)
    progress(
        f"{precision}: {details['quantised']} of {len(layers)} layers, {len(taken_back)} taken back; on "
        f"{held.sum()} faces held out the answers are {max(measured.values()):.2f} of their tolerance away"
    )
    return result, tuple(kept), details


def _quantise(
    model: onnx.ModelProto, *, precision: Precision, faces: NDArray[np.uint8], keep: list[str], version: str
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
                nodes_to_exclude=[f"{re.escape(name)}$" for name in keep],
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


class _Judge:
    """How far answers lie from fp32's, in units of each output's tolerance."""

    def __init__(
        self, exact: Infer, *, contract: Mapping[str, Any], precision: Precision, faces: NDArray[np.uint8]
    ) -> None:
        self._contract = contract
        self._allowed = tolerances(contract, precision=precision)
        self._faces = faces
        self._expected = _answers(exact, faces)

    def by_output(self, model: onnx.ModelProto) -> dict[str, float]:
        """The largest difference of each output on the held-out faces."""
        answered = _answers(rounded_model(model), self._faces)
        return self._in_tolerances(self._expected, answered)

    def cost(self, model: onnx.ModelProto) -> float:
        """How far off the faces are together: steadier than the worst, so that layers can be compared."""
        expected = {name: values[:_RANKED_ON] for name, values in self._expected.items()}
        answered = _answers(rounded_model(model), self._faces[:_RANKED_ON])
        by_face = [
            self._in_tolerances(
                {name: values[row : row + 1] for name, values in expected.items()},
                {name: values[row : row + 1] for name, values in answered.items()},
            )
            for row in range(min(_RANKED_ON, len(self._faces)))
        ]
        return float(np.mean([value**2 for face in by_face for value in face.values()]))

    def _in_tolerances(self, expected: Tensors, answered: Tensors) -> dict[str, float]:
        found = differences_in_units(self._contract, expected, answered)
        return {name: value / self._allowed[name] for name, value in found.items()}


def _take_back(
    model: onnx.ModelProto, *, judge: _Judge, precision: Precision, progress: Callable[[str], None]
) -> tuple[onnx.ModelProto, list[str]]:
    """The network without Q/DQ nodes at its costliest layers, as few as will do; and these layers."""
    worst = max(judge.by_output(model).values())
    best, spared, least = model, list[str](), worst
    if worst <= AIM:
        return best, spared
    layers = _quantised_layers(model)
    progress(f"{precision}: {worst:.2f} of the tolerance; looking for the costliest of {len(layers)} layers")
    costs = {
        name: judge.cost(_without(model, [other for other in layers if other != name])) for name in layers
    }
    ranked = sorted(layers, key=lambda name: -costs[name])
    for count in range(1, min(MOST_TAKEN_BACK, len(ranked)) + 1):
        tried = _without(model, ranked[:count])
        worst = max(judge.by_output(tried).values())
        progress(f"{precision}: {worst:.2f} of the tolerance without {count} layers, now {ranked[count - 1]}")
        if worst < least:
            best, spared, least = tried, ranked[:count], worst
        if worst <= AIM:
            break
    return best, spared


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


def _answers(infer: Infer, faces: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    parts = [infer(faces[first : first + _BATCH]) for first in range(0, len(faces), _BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
