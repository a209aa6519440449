"""OpenVINO's engine for the CPU. The server compiles it again as it loads it, from the same file."""

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build import machine
from build.backends.base import CpuBackend, Engine, Layer, LoweredNetwork, LoweringRequest
from build.errors import BuildError
from build.onnx_interface import PIXELS
from build.precisions import Precision, format_of
from build.serving.engine_settings import NETWORK_FILE
from runtime.engines.openvino import NAME, OpenVinoEngine, batches_for, openvino_core

# OpenVINO's own format, with its weights beside it.
IR_FILE, IR_WEIGHTS = "model.xml", "model.bin"

_MULTIPLYING = (
    "Convolution",
    "Deconvolution",
    "FullyConnected",
    "MatMul",
    "ScaledDotProductAttention",
    "MHA",
    "QKVProjection",
    "LLMMLP",
)
# A kernel that was generated for several operations; it multiplies where one of them did.
_FUSED = "Subgraph"
_PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}


class OpenVino(CpuBackend):
    """OpenVINO. fp32 and bf16 are settings for the exported file; int8 is a file of its own."""

    name = "openvino"
    title = "OpenVINO on the CPU"
    precisions = ("fp32", "bf16", "int8")
    default_precision = "fp32"
    runtime = NAME
    packages = (name,)
    takes_streams = True
    is_default = True
    fast_instructions = ("amx_bf16", "avx512_bf16")
    kernel_variables = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")

    def fast_precision(self) -> tuple[Precision, str] | None:
        """bf16, where OpenVINO lists it and the processor multiplies in it.

        OpenVINO alone would emulate it on processors that only have AVX-512.
        """
        has = [name for name in self.fast_instructions if name in machine.instructions()]
        if not has or "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            return None
        return "bf16", has[0]

    def served_file(self, precision: Precision) -> str:
        """OpenVINO's own format where it is quantised."""
        return IR_FILE if format_of(precision).quantised else NETWORK_FILE

    def precision_is_in_file(self, precision: Precision) -> bool:
        """Only where the file is quantised: in bf16 it has the weights as they were exported."""
        return format_of(precision).quantised or format_of(precision).full

    def lower(self, request: LoweringRequest) -> LoweredNetwork:
        """model.onnx as it was exported; quantised model.xml with model.bin."""
        if not format_of(request.precision).quantised:
            return request.unchanged()
        from build.lowering.openvino_int8 import quantised_for_openvino

        return quantised_for_openvino(request)

    def open_engine(self, network: Path, *, precision: Precision, threads: int) -> Engine:
        """The network compiled as the server will compile it."""
        return engine_of(network, precision=precision, threads=threads)


BACKEND = OpenVino()


def engine_of(network: Path, *, precision: Precision, threads: int = 0, streams: int = 1) -> Engine:
    """Compiles `network` (model.onnx, or model.xml with its model.bin) as the server will.

    `threads` 0 is every core. Raises BuildError where OpenVINO refuses the network.
    """
    try:
        compiled = OpenVinoEngine(
            network,
            precision=precision,
            threads=threads or None,
            streams=streams,
            batches=batches_for(network),
        )
    except (RuntimeError, ValueError, FileNotFoundError) as error:
        raise BuildError(f"OpenVINO can't compile {network} ({_last_line(error)})") from None

    def infer(pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        return compiled.infer({PIXELS: pixels})

    if network.suffix == ".xml":
        files = {IR_FILE: network, IR_WEIGHTS: network.with_suffix(".bin")}
    else:
        files = {NETWORK_FILE: network}
    return Engine(
        files=files,
        layers=_layers(compiled.executed_graph()),
        layers_from="executed graph",
        versions={"openvino": importlib.metadata.version("openvino")},
        settings={"hint": _PRECISIONS[compiled.hint], "threads": threads, "streams": streams},
        infer=infer,
    )


def _layers(executed: Any) -> tuple[Layer, ...]:
    found = []
    for node in executed.get_ordered_ops():
        about = {key: str(value.astype(str)) for key, value in node.get_rt_info().items()}
        kind = about.get("layerType", "")
        made_of = about.get("originalLayersNames", "")
        if kind in _MULTIPLYING or (kind == _FUSED and "matmul" in made_of.lower()):
            spelled = about["runtimePrecision"]
            found.append(
                Layer(
                    name=made_of.strip(",") or node.get_friendly_name(),
                    kind=kind,
                    precision=_PRECISIONS.get(spelled, spelled),
                )
            )
    return tuple(found)


def _last_line(error: Exception) -> str:
    """OpenVINO's errors begin with places of its source; the last line describes the fault."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
