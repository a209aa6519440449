"""An ONNX file that states its precision: engines compute each of its layers in the type of its tensors."""

from collections.abc import Mapping
from typing import Any

from build.backends.base import LoweredNetwork, LoweringRequest
from build.lowering.half_precision import to_16_bits
from build.lowering.onnx_file import metadata_of, save, unpacked
from build.lowering.precision_exclusions import ExcludedNode, excluded_nodes, onnx_nodes
from build.lowering.qdq_quantization import quantised
from build.precisions import format_of
from build.serving.engine_settings import NETWORK_FILE


def strongly_typed(request: LoweringRequest) -> LoweredNetwork:
    """Writes model.onnx at a precision; in fp32 with its weights unpacked."""
    precision = request.precision
    model = unpacked(request.network)
    metadata = metadata_of(model)
    excluded: tuple[ExcludedNode, ...] = ()
    details: Mapping[str, Any] = {}
    if format_of(precision).quantised:
        assert request.calibration is not None
        model, excluded, details = quantised(
            model,
            precision=precision,
            contract=request.contract,
            faces=request.calibration,
            log=request.log,
        )
    elif not format_of(precision).full:
        exclusions = excluded_nodes(onnx_nodes(model), precision=precision)
        model, excluded, details = to_16_bits(
            model, precision=precision, faces=request.faces, exclusions=exclusions
        )
    path = request.directory / NETWORK_FILE
    save(model, path, metadata=metadata)
    return LoweredNetwork(network=path, files={NETWORK_FILE: path}, excluded=excluded, details=details)
