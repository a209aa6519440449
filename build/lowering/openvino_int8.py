"""int8 for OpenVINO: NNCF quantises, and reverts the layers that cost too much exactness.

NNCF's accuracy control measures the quantised network on faces held out of the calibration, ranks its
layers by what they cost, and reverts them to full precision one after another until the answers are
close enough or `EVALUATIONS` are used up. Whether the result is served is decided by the acceptance gate.
"""

import importlib.metadata
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.backends.base import Infer, Log, LoweredNetwork, LoweringRequest
from build.errors import BuildError
from build.lowering.answer_drift import AnswerDrift, split_faces
from build.lowering.precision_exclusions import INPUT, ExcludedNode, Node, excluded_nodes
from build.lowering.silenced_libraries import audible, quiet
from build.onnx_interface import PIXELS
from runtime.engines.openvino import openvino_core

EVALUATIONS = 20
# How far the answers may be from fp32's, in units of their tolerances. What is left of the tolerance is
# for bf16, in which the layers run that are not quantised.
MAX_DRIFT = 0.5
_HELD_OUT = 128
_RANKED_ON = 64
_CALIBRATED_ON = 512
_REVERTED = re.compile(r"were reverted back to the floating-point precision: *\n(.*)", re.DOTALL)


def quantised_for_openvino(request: LoweringRequest) -> LoweredNetwork:
    """Writes model.xml, model.bin and metadata.json."""
    assert request.calibration is not None
    network, contract, directory, log = request.network, request.contract, request.directory, request.log
    nncf = _nncf()
    import openvino

    model = openvino_core().read_model(str(network))
    metadata = _metadata_of(network)
    split = split_faces(request.calibration, held_out=_HELD_OUT, calibration=_CALIBRATED_ON)
    exact = _infer_of(_compiled(model, hint="f32"))
    drift = AnswerDrift(exact, contract=contract, precision="int8", faces=split.held_out)
    control = _AccuracyControl(drift, log=audible(log))
    exclusions = excluded_nodes(_nodes(model), precision="int8")
    # torch warns of having no CUDA when NNCF first loads it.
    with quiet("nncf", "torch.utils.cpp_extension") as messages:
        quantised = _quantise(
            nncf, model, faces=split.calibration, control=control, excluded=list(exclusions)
        )
    reverted = _reverted(messages)
    by_hint = {hint: drift.by_output(_infer_of(_compiled(quantised, hint=hint))) for hint in ("f32", "bf16")}
    worst = max(by_hint["f32"].values())
    log(
        f"int8: {len(reverted)} layers reverted; on {len(split.held_out)} faces held out the answers are "
        f"{worst:.2f} of their tolerance away from fp32's"
        + ("" if worst <= MAX_DRIFT else f", more than the {MAX_DRIFT:g} aimed at")
    )
    files = {name: directory / name for name in ("model.xml", "model.bin", "metadata.json")}
    openvino.save_model(quantised, str(files["model.xml"]), compress_to_fp16=False)
    files["metadata.json"].write_text(json.dumps(metadata, indent=1) + "\n")
    excluded = [ExcludedNode(name=name, reason=reason, listed=True) for name, reason in exclusions.items()]
    excluded += [
        ExcludedNode(name=name, reason="in int8 it took the answers out of tolerance") for name in reverted
    ]
    details = {
        "calibration_faces": len(split.calibration),
        "held_out_faces": len(split.held_out),
        "evaluations": control.evaluations,
        "most_taken_back": EVALUATIONS,
        "taken_back": len(reverted),
        "aimed_at": MAX_DRIFT,
        "within_tolerance": bool(max(by_hint["bf16"].values()) <= 1),
        "of_tolerance_rest_fp32": _rounded(by_hint["f32"]),
        "of_tolerance_rest_bf16": _rounded(by_hint["bf16"]),
        "nncf": importlib.metadata.version("nncf"),
        "openvino": openvino.__version__,
    }
    return LoweredNetwork(network=files["model.xml"], files=files, excluded=tuple(excluded), details=details)


class _AccuracyControl:
    """What NNCF calls to validate a network: 1 is fp32's answers, 0 the tolerance of the worst one."""

    def __init__(self, drift: AnswerDrift, *, log: Log) -> None:
        self._drift = drift
        self._log = log
        self.faces = len(drift.faces)
        self.evaluations = 0

    def __call__(self, compiled: Any, numbers: Iterable[Any]) -> tuple[float, list[float]]:
        """The worst of the faces with these numbers, and each of them."""
        chosen = [int(number) for number in numbers]
        by_face = [1.0 - max(drift.values()) for drift in self._drift.by_face(_infer_of(compiled), chosen)]
        if len(chosen) == self.faces:
            if self.evaluations > 0:  # the first is fp32 itself
                self._log(f"int8: {1 - min(by_face):.2f} of the tolerance")
            self.evaluations += 1
        return min(by_face), by_face


def _quantise(
    nncf: Any, model: Any, *, faces: NDArray[np.uint8], control: _AccuracyControl, excluded: list[str]
) -> Any:
    from nncf.quantization.advanced_parameters import (  # type: ignore[import-untyped]
        AdvancedAccuracyRestorerParameters,
        AdvancedQuantizationParameters,
    )
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # type: ignore[import-untyped]

    return nncf.quantize_with_accuracy_control(
        model.clone(),
        nncf.Dataset(
            [faces[number : number + 1] for number in range(len(faces))], lambda face: {PIXELS: face}
        ),
        nncf.Dataset(range(control.faces)),
        control,
        max_drop=MAX_DRIFT,
        preset=nncf.QuantizationPreset.MIXED,
        # Only products and convolutions, and inside attention: with every sum and mean it is far off.
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(faces),
        ignored_scope=nncf.IgnoredScope(names=excluded, validate=False),
        advanced_quantization_parameters=AdvancedQuantizationParameters(
            # The default cuts the rare large values, and with them the rare face's answers.
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
        ),
        advanced_accuracy_restorer_parameters=AdvancedAccuracyRestorerParameters(
            max_num_iterations=EVALUATIONS,
            ranking_subset_size=min(_RANKED_ON, control.faces),
            num_ranking_workers=1,
        ),
    )


def _nncf() -> Any:
    with quiet("nncf"):
        try:
            import nncf  # type: ignore[import-untyped]
        except ImportError:
            raise BuildError(
                "nncf, which quantises for OpenVINO, is not installed here: run this with the Python of .venv"
            ) from None
    return nncf


def _compiled(model: Any, *, hint: str) -> Any:
    return openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})


def _infer_of(compiled: Any) -> Infer:
    names = [port.any_name for port in compiled.outputs]
    request = compiled.create_infer_request()

    def infer(pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        request.infer({PIXELS: pixels})
        return {name: np.array(request.get_tensor(name).data) for name in names}

    return infer


def _nodes(model: Any) -> list[Node]:
    found = []
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Constant", "Result"):
            continue
        feeding = (value.get_source_output().get_node() for value in node.inputs())
        found.append(
            Node(
                name=node.get_friendly_name(),
                kind=INPUT if kind == "Parameter" else kind,
                inputs=tuple(
                    source.get_friendly_name() for source in feeding if source.get_type_name() != "Constant"
                ),
            )
        )
    return found


def _reverted(messages: list[str]) -> list[str]:
    """The layers that NNCF reverted, by its last report."""
    for line in reversed(messages):
        if found := _REVERTED.search(line):
            return [name.strip() for name in found[1].splitlines() if name.strip()]
    return []


def _metadata_of(network: Path) -> dict[str, str]:
    import onnx

    model = onnx.load(str(network), load_external_data=False)
    return {prop.key: prop.value for prop in model.metadata_props}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
