"""int8 for OpenVINO: NNCF quantises, and takes back what the answers do not bear.

NNCF's accuracy control measures the quantised network on faces held out of the calibration, ranks its
layers by what they cost, and returns them to full precision one after another until the answers are
close enough or `EVALUATIONS` are used up. Whether the result is served is the engine step's decision.
"""

import importlib.metadata
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.acceptance.parity import Tensors, differences_in_units, tolerances
from build.errors import BuildError
from build.lowering.calibration import evenly
from build.lowering.precision_exclusions import INPUT, ExcludedNode, Node, excluded_nodes
from build.lowering.quiet import aloud, quiet
from build.onnx_interface import PIXELS
from runtime.engines.openvino import openvino_core

EVALUATIONS = 20
# How far the answers may be from fp32's, in units of their tolerances. What is left of the tolerance is
# for bf16, in which the layers run that are not quantised.
MAX_DROP = 0.5
_HELD_OUT = 128
_RANKED_ON = 64
_CALIBRATED_ON = 512
_BATCH = 16
_REVERTED = re.compile(r"were reverted back to the floating-point precision: *\n(.*)", re.DOTALL)


def quantised_for_openvino(
    network: Path,
    *,
    contract: Mapping[str, Any],
    faces: NDArray[np.uint8],
    directory: Path,
    progress: Callable[[str], None],
) -> tuple[dict[str, Path], tuple[ExcludedNode, ...], dict[str, Any]]:
    """Writes model.xml, model.bin and metadata.json; gives the files, what was kept, what was measured."""
    nncf = _nncf()
    import openvino

    model = openvino_core().read_model(str(network))
    metadata = _metadata_of(network)
    held = np.zeros(len(faces), dtype=bool)
    held[evenly(len(faces), min(_HELD_OUT, len(faces) // 4))] = True
    judge = _Judge(model, contract=contract, faces=faces[held], progress=aloud(progress))
    keep = excluded_nodes(_nodes(model), precision="int8")
    # torch warns of having no CUDA when NNCF first loads it.
    with quiet("nncf", "torch.utils.cpp_extension") as said:
        quantised = _quantise(nncf, model, faces=faces[~held], judge=judge, keep=list(keep))
    reverted = _reverted(said)
    by_hint = {hint: judge.measure(quantised, hint=hint) for hint in ("f32", "bf16")}
    worst = max(by_hint["f32"].values())
    progress(
        f"int8: {len(reverted)} layers taken back; on {held.sum()} faces held out the answers are "
        f"{worst:.2f} of their tolerance away from fp32's"
        + ("" if worst <= MAX_DROP else f", more than the {MAX_DROP:g} aimed at")
    )
    files = {name: directory / name for name in ("model.xml", "model.bin", "metadata.json")}
    openvino.save_model(quantised, str(files["model.xml"]), compress_to_fp16=False)
    files["metadata.json"].write_text(json.dumps(metadata, indent=1) + "\n")
    kept = [ExcludedNode(name=name, why=why, listed=True) for name, why in keep.items()]
    kept += [ExcludedNode(name=name, why="in int8 it took the answers out of tolerance") for name in reverted]
    details = {
        "calibration_faces": min(int(np.sum(~held)), _CALIBRATED_ON),
        "held_out_faces": int(held.sum()),
        "evaluations": judge.evaluations,
        "most_taken_back": EVALUATIONS,
        "taken_back": len(reverted),
        "aimed_at": MAX_DROP,
        "within_tolerance": bool(max(by_hint["bf16"].values()) <= 1),
        "of_tolerance_rest_fp32": _rounded(by_hint["f32"]),
        "of_tolerance_rest_bf16": _rounded(by_hint["bf16"]),
        "nncf": importlib.metadata.version("nncf"),
        "openvino": openvino.__version__,
    }
    return files, tuple(kept), details


class _Judge:
    """How far answers on held-out faces lie from fp32's, in units of each output's tolerance."""

    def __init__(
        self,
        model: Any,
        *,
        contract: Mapping[str, Any],
        faces: NDArray[np.uint8],
        progress: Callable[[str], None],
    ) -> None:
        self._contract = contract
        self._allowed = tolerances(contract, precision="int8")
        self._faces = faces
        self._progress = progress
        self._expected = _answers(_compiled(model, hint="f32"), faces)
        self.evaluations = 0

    def __call__(self, compiled: Any, items: Iterable[Any]) -> tuple[float, list[float]]:
        """What NNCF asks for: 1 is fp32's answers, 0 at the tolerance of the worst; all, and by face."""
        chosen = [int(number) for number in items]
        answered = _answers(compiled, self._faces[chosen])
        by_face = []
        for row, number in enumerate(chosen):
            expected = {name: values[number : number + 1] for name, values in self._expected.items()}
            answer = {name: values[row : row + 1] for name, values in answered.items()}
            by_face.append(1.0 - max(self._in_tolerances(expected, answer).values()))
        if len(chosen) == len(self._faces):
            if self.evaluations > 0:  # the first is fp32 itself
                self._progress(f"int8: {1 - min(by_face):.2f} of the tolerance")
            self.evaluations += 1
        return min(by_face), by_face

    def measure(self, model: Any, *, hint: str) -> dict[str, float]:
        """The largest difference of each output on all held-out faces, in its tolerance."""
        return self._in_tolerances(self._expected, _answers(_compiled(model, hint=hint), self._faces))

    def faces(self) -> range:
        """What NNCF hands to the judge: the held-out faces' numbers."""
        return range(len(self._faces))

    def _in_tolerances(self, expected: Tensors, answered: Tensors) -> dict[str, float]:
        found = differences_in_units(self._contract, expected, answered)
        return {name: value / self._allowed[name] for name, value in found.items()}


def _quantise(nncf: Any, model: Any, *, faces: NDArray[np.uint8], judge: _Judge, keep: list[str]) -> Any:
    from nncf.quantization.advanced_parameters import (  # type: ignore[import-untyped]
        AdvancedAccuracyRestorerParameters,
        AdvancedQuantizationParameters,
    )
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # type: ignore[import-untyped]

    chosen = evenly(len(faces), min(_CALIBRATED_ON, len(faces)))
    return nncf.quantize_with_accuracy_control(
        model.clone(),
        nncf.Dataset([faces[number : number + 1] for number in chosen], lambda face: {PIXELS: face}),
        nncf.Dataset(judge.faces()),
        judge,
        max_drop=MAX_DROP,
        preset=nncf.QuantizationPreset.MIXED,
        # Only products and convolutions, and inside attention: with every sum and mean it is far off.
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(chosen),
        ignored_scope=nncf.IgnoredScope(names=keep, validate=False),
        advanced_quantization_parameters=AdvancedQuantizationParameters(
            # The default cuts the rare large values, and with them the rare face's answers.
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
        ),
        advanced_accuracy_restorer_parameters=AdvancedAccuracyRestorerParameters(
            max_num_iterations=EVALUATIONS,
            ranking_subset_size=min(_RANKED_ON, len(judge.faces())),
            num_ranking_workers=1,
        ),
    )


def _nncf() -> Any:
    # It tells its maker of every use, unless this says that it runs in somebody's tests.
    os.environ["NNCF_CI"] = "1"
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


def _answers(compiled: Any, faces: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    names = [port.any_name for port in compiled.outputs]
    request = compiled.create_infer_request()
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    for first in range(0, len(faces), _BATCH):
        request.infer({PIXELS: faces[first : first + _BATCH]})
        for name in names:
            parts[name].append(np.array(request.get_tensor(name).data))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


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


def _reverted(said: list[str]) -> list[str]:
    """The layers that NNCF's last report says it took back."""
    for line in reversed(said):
        if found := _REVERTED.search(line):
            return [name.strip() for name in found[1].splitlines() if name.strip()]
    return []


def _metadata_of(network: Path) -> dict[str, str]:
    import onnx

    model = onnx.load(str(network), load_external_data=False)
    return {prop.key: prop.value for prop in model.metadata_props}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
