"""Makes the reference of a network: torch's answers about real faces, and the export's distance from them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from build.acceptance.export_parity import export_differences
from build.acceptance.reference import Reference
from build.files import sha256_of_file


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
    return reference, export_differences(onnx_file, reference, contract=contract)
