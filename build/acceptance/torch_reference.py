"""Makes the reference of a network: torch's answers about real faces, and the export's distance from them."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from build.acceptance.parity import differences, tolerances, worst_beyond_tolerance
from build.acceptance.reference import Reference
from build.errors import BuildError
from build.files import sha256_of_file
from build.onnx_interface import PIXELS
from build.serving.batching_and_queues import COMPARED_BATCHES


def make_reference(
    checkpoint: Path, *, onnx_file: Path, pixels: NDArray[np.uint8]
) -> tuple[Reference, dict[str, dict[str, float]]]:
    """Torch's answers for crops, and how far ONNX Runtime's lie from them by batch size and output.

    Raises BuildError when one lies further than fp32 may.
    """
    from training.evaluation.predictors import torch_predict
    from training.models import ExportWrapper, load_checkpoint

    loaded = load_checkpoint(checkpoint)
    contract = loaded.contract
    answer = torch_predict(ExportWrapper(loaded.model, contract))
    reference = Reference(network=sha256_of_file(onnx_file), pixels=pixels, answers=dict(answer(pixels)))
    session = onnxruntime.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    names = list(reference.answers)
    found = {}
    for batch in COMPARED_BATCHES:
        answered = dict(zip(names, session.run(names, {PIXELS: pixels[:batch]}), strict=True))
        expected = {name: values[:batch] for name, values in reference.answers.items()}
        found[str(batch)] = differences(contract, expected, answered, in_units=False)
    allowed = tolerances(contract, precision="fp32")
    if worst := worst_beyond_tolerance(found, allowed):
        raise BuildError(
            f"on real faces ONNX Runtime differs from torch by {worst[1]:.2g} in {worst[0]}, more than "
            f"{allowed[worst[0]]:g}: look for an operator that the exporter translates differently"
        )
    return reference, found
