"""An ONNX file that states its precision: engines compute each of its layers in the type of its tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.backends.base import Log, LoweredNetwork
from build.lowering.half_precision import to_16_bits
from build.lowering.onnx_file import metadata_of, save, unpacked
from build.lowering.precision_exclusions import ExcludedNode, excluded_nodes, onnx_nodes
from build.lowering.qdq_quantization import quantised
from build.precisions import Precision, format_of
from build.serving.engine_settings import NETWORK_FILE
from runtime.contract import Contract


def strongly_typed(
    network: Path,
    *,
    precision: Precision,
    contract: Contract,
    faces: NDArray[np.uint8],
    calibration: NDArray[np.uint8] | None,
    directory: Path,
    log: Log,
) -> LoweredNetwork:
    """Writes model.onnx at a precision, in fp32 with its weights unpacked; see `Backend.lower`."""
    model = unpacked(network)
    metadata = metadata_of(model)
    excluded: tuple[ExcludedNode, ...] = ()
    details: Mapping[str, Any] = {}
    if format_of(precision).quantised:
        assert calibration is not None
        model, excluded, details = quantised(
            model, precision=precision, contract=contract, faces=calibration, log=log
        )
    elif not format_of(precision).full:
        exclusions = excluded_nodes(onnx_nodes(model), precision=precision)
        model, excluded, details = to_16_bits(model, precision=precision, faces=faces, exclusions=exclusions)
    path = directory / NETWORK_FILE
    save(model, path, metadata=metadata)
    return LoweredNetwork(network=path, files={NETWORK_FILE: path}, excluded=excluded, details=details)
