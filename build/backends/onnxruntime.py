"""ONNX Runtime's engine for the CPU. The server loads it again, from the same file."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from build.backends.base import CpuBackend, Engine, Layer, LoweredNetwork, LoweringRequest
from build.errors import BuildError
from build.onnx_interface import PIXELS
from build.precisions import Precision, format_of
from build.serving.engine_settings import NETWORK_FILE
from runtime.engines.onnxruntime import NAME, OnnxRuntimeEngine

# Operators that multiply, by how their names end: those that ONNX Runtime fuses are called FusedMatMul,
# QLinearConv, MultiHeadAttention and so on.
_MULTIPLYING = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum", "Attention")
# And those whose names don't end so; these and the other quantised ones multiply integers.
_INTEGER = ("ConvInteger", "MatMulInteger", "MatMulIntegerToFloat")
_QUANTISED = ("QLinear", "QGemm", "QAttention", "DynamicQuantize")
_PRECISIONS: Mapping[int, str] = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "int8",
    onnx.TensorProto.FLOAT8E4M3FN: "fp8",
}


class OnnxRuntime(CpuBackend):
    """ONNX Runtime. It runs each node in the type that the file states."""

    name = "onnxruntime"
    title = "ONNX Runtime"
    precisions = ("fp32", "fp16")
    default_precision = "fp32"
    runtime = NAME
    packages = (name,)

    def lower(self, request: LoweringRequest) -> LoweredNetwork:
        """model.onnx: in fp32 as it was exported, else with its precision in it."""
        if format_of(request.precision).full:
            return request.unchanged()
        from build.lowering.strongly_typed import strongly_typed

        return strongly_typed(request)

    def open_engine(self, network: Path, *, precision: Precision, threads: int) -> Engine:
        """The network loaded as the server will load it."""
        return engine_of(network, precision=precision, threads=threads)


BACKEND = OnnxRuntime()


def engine_of(network: Path, *, precision: str, threads: int = 0, streams: int = 1) -> Engine:
    """Loads the ONNX file `network` as the server will; `threads` 0 is every core.

    In fp16 it gives no answers: the CPU would compute in fp32, and here it runs on nothing else. `streams`
    must be 1, as ONNX Runtime has none. Raises BuildError where it refuses the network.
    """
    if streams != 1:
        raise BuildError(f"ONNX Runtime has no {streams} streams: choose --streams 1")
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        try:
            engine = OnnxRuntimeEngine(network, threads=threads or None, save_optimised=optimised)
        except Exception as error:  # each of its errors is a class of its own, below Exception
            raise BuildError(f"ONNX Runtime can't load {network} ({_first_line(error)})") from None
        runs = precision != "fp16"
        # What a CPU makes of fp16 says nothing about a GPU: there only the file's own nodes are known.
        executed = onnx.load(optimised) if runs else onnx.shape_inference.infer_shapes(onnx.load(network))
    layers = read_layers(executed)

    def infer(pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        return engine.infer({PIXELS: pixels})

    return Engine(
        files={NETWORK_FILE: network},
        layers=layers,
        layers_from="executed graph" if runs else "parsed network",
        versions={"onnxruntime": _version()},
        settings={"threads": threads, "streams": streams},
        infer=infer if runs else None,
        needs="" if runs else "a GPU",
    )


def read_layers(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """The layers that multiply in a graph with its tensors' types, as ONNX Runtime saves it."""
    graph = model.graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.input]}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    # What the optimiser puts in has no entry.
    types |= {node.output[0]: _attribute(node, "to") for node in graph.node if node.op_type == "Cast"}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            types[node.output[0]] = types.get(node.input[1], onnx.TensorProto.FLOAT)
    found = []
    for node in graph.node:
        if not (node.op_type.endswith(_MULTIPLYING) or node.op_type in _INTEGER):
            continue
        if node.op_type in _INTEGER or node.op_type.startswith(_QUANTISED):
            precision = "int8"
        else:
            # The CPU's own layouts have no entry; the weights beside them do.
            known = [types[name] for name in node.input[:2] if name in types]
            precision = _PRECISIONS.get(known[0], str(known[0])) if known else "unknown"
        found.append(Layer(name=node.name, kind=node.op_type, precision=precision))
    return tuple(found)


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next(int(attribute.i) for attribute in node.attribute if attribute.name == name)


def _version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
