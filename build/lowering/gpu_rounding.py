"""A network at 16 bits or less, run on this CPU with the rounding that a GPU would do.

ONNX Runtime's CPU computes fp16 nodes in fp32 and may leave the casts between them out, so an overflow
stays hidden; for bf16 it has hardly any kernel. Here every 16-bit tensor is really rounded to its type
behind the node that makes it, while inside a node sums are fp32, as a GPU's matrix units do. Q/DQ
nodes (int8, fp8) are computed as they stand. It is slow: for measuring answers, and no engine.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from build.backends.base import Infer
from build.errors import BuildError
from build.lowering.onnx_file import LOW_FLOATS, element_types
from build.onnx_interface import PIXELS


def rounded(network: Path) -> Infer:
    """Answers for pixels [B, S, S, 3] as the network's own precision gives them; overflow is inf or NaN.

    Raises BuildError for a network that can't be run so: with loops or branches, or with nodes that
    ONNX Runtime's CPU lacks.
    """
    return rounded_model(onnx.load(str(network)))


def rounded_model(network: onnx.ModelProto) -> Infer:
    """`rounded` for a network in memory, which stays as it is."""
    import onnxruntime

    model = onnx.ModelProto()
    model.CopyFrom(network)
    types = element_types(model)
    if any(kind in LOW_FLOATS for kind in types.values()):
        _make_rounding_explicit(model, types)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Its optimisers would merge a pair of casts, and the rounding with it.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors share no class but Exception
        raise BuildError(
            f"the network can't be run on this CPU to see what its rounding does "
            f"({' '.join(str(error).split())[:200]}): measure it on a GPU"
        ) from None
    names = [output.name for output in session.get_outputs()]

    def infer(pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        return dict(zip(names, session.run(names, {PIXELS: pixels}), strict=True))

    return infer


def _make_rounding_explicit(model: onnx.ModelProto, types: dict[str, int]) -> None:
    """Turns 16-bit tensors into fp32 ones that pass through a pair of casts where they are made."""
    graph = model.graph
    for tensor in graph.initializer:
        if tensor.data_type in LOW_FLOATS:
            tensor.CopyFrom(_in_fp32(tensor))
    nodes = []
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                raise BuildError(
                    f"the node {node.name} is a loop or a branch, whose rounding can't be shown here: "
                    "measure the network on a GPU"
                )
            if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type in LOW_FLOATS:
                attribute.t.CopyFrom(_in_fp32(attribute.t))
            if attribute.name in ("to", "dtype", "output_dtype") and attribute.i in LOW_FLOATS:
                attribute.i = TensorProto.FLOAT
        casts = []
        for number, name in enumerate(node.output):
            if types.get(name) in LOW_FLOATS:
                exact, low = f"{name}/exact", f"{name}/rounded"
                node.output[number] = exact
                casts += [
                    helper.make_node("Cast", [exact], [low], to=types[name]),
                    helper.make_node("Cast", [low], [name], to=TensorProto.FLOAT),
                ]
        nodes += [node, *casts]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    for value in graph.output:
        if value.type.tensor_type.elem_type in LOW_FLOATS:
            value.type.tensor_type.elem_type = TensorProto.FLOAT


def _in_fp32(tensor: onnx.TensorProto) -> onnx.TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
