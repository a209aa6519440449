"""An ONNX network in memory: opened, its weights unpacked, saved with its metadata."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

LOW_FLOATS = {TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}


def unpacked(network: Path) -> onnx.ModelProto:
    """The network with fp32 weights, where the file keeps them as fp16 behind Cast nodes; all nodes named."""
    model = onnx.load(str(network))
    halves = {
        tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16
    }
    nodes = []
    for number, node in enumerate(model.graph.node):
        if node.op_type == "Cast" and node.input[0] in halves:
            values = numpy_helper.to_array(halves[node.input[0]]).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        else:
            node.name = node.name or f"{node.op_type}_{number}"
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    weights = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    return model


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type (TensorProto.DataType) of every tensor whose type ONNX can infer."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    graph = inferred.graph
    found = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in [*graph.input, *graph.output, *graph.value_info]:
        found[value.name] = value.type.tensor_type.elem_type
    return found


def save(model: onnx.ModelProto, path: Path, *, metadata: Mapping[str, str]) -> None:
    """Checks the network and writes it, with this metadata and no other."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """The file's metadata: contract, config, card, sha256 of the checkpoint."""
    return {prop.key: prop.value for prop in model.metadata_props}
