"""How far an exported network lies from torch, by torch's answers in the reference beside it."""

from pathlib import Path

import onnxruntime

from build.acceptance.parity import differences, tolerances, worst_beyond_tolerance
from build.acceptance.reference import Reference
from build.errors import BuildError
from build.onnx_interface import PIXELS
from build.precisions import FULL_PRECISION
from build.serving.batching_and_queues import COMPARED_BATCHES
from runtime.contract import Contract


def export_differences(
    onnx_file: Path, reference: Reference, *, contract: Contract
) -> dict[str, dict[str, float]]:
    """The largest difference of each output from torch's, by batch size.

    Raises BuildError where one is larger than full precision allows.
    """
    session = onnxruntime.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    names = list(reference.answers)
    found = {}
    for batch in COMPARED_BATCHES:
        answered = dict(zip(names, session.run(names, {PIXELS: reference.pixels[:batch]}), strict=True))
        expected = {name: values[:batch] for name, values in reference.answers.items()}
        found[str(batch)] = differences(contract, expected, answered, in_units=False)
    allowed = tolerances(contract, precision=FULL_PRECISION)
    if worst := worst_beyond_tolerance(found, allowed):
        raise BuildError(
            f"on real faces ONNX Runtime differs from torch by {worst[1]:.2g} in {worst[0]}, more than "
            f"{allowed[worst[0]]:g}: look for an operator that the exporter translates differently"
        )
    return found
