"""The face detector as ONNX, for ONNX Runtime in a browser: the same network, op by op.

`runtime.detect.detector_engine` reads the .tflite file through OpenVINO and frees its canvas from the size
that the file fixes. This writes what it reads as ONNX nodes, so that both compute the same numbers. Weights
stay in fp16, as in the file.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from runtime.detect.blazeface import CANVASES, LOGITS, REGRESSORS
from runtime.detect.detector_engine import read_detector_model
from runtime.detect.detector_file import find_detector

_OPSET, _IR_VERSION = 17, 8
_CHANNELS_FIRST = (0, 3, 1, 2)  # [B, H, W, C] -> [B, C, H, W]
_CHANNELS_LAST = (0, 2, 3, 1)
# OpenVINO's ways to pad -> ONNX's.
_PADDING = {"same_upper": "SAME_UPPER", "same_lower": "SAME_LOWER", "valid": "VALID"}


def write_detector(path: str | Path, *, source: str | Path | None = None) -> None:
    """Writes the detector to `path`: the same bytes each time.

    `canvases` UINT8 [B, H, W, 3] RGB -> `regressors` FP32 [B, N, 16] and `logits` FP32 [B, N, 1], as
    `runtime.detect.blazeface` has them; B, H and W are free, H and W multiples of 32.
    `source` is the .tflite file (None: that of the installed package).
    Raises FileNotFoundError where there is none, ValueError for another detector and for an op that has no
    ONNX node here.
    """
    network = detector_onnx(find_detector() if source is None else source)
    Path(path).write_bytes(network.SerializeToString(deterministic=True))


def detector_onnx(source: str | Path) -> Any:
    """The ModelProto of the detector in the .tflite file `source`, checked; raises as `write_detector`."""
    graph = _Graph()
    for node in read_detector_model(source).get_ordered_ops():
        if node.get_type_name() not in _WRITERS:
            raise ValueError(f"{source} has the op {node.get_type_name()}, for which no ONNX node is known")
        _WRITERS[node.get_type_name()](graph, node)
    network = helper.make_model(
        helper.make_graph(
            graph.used_nodes((REGRESSORS, LOGITS)),
            "blazeface_full_range",
            [helper.make_tensor_value_info(CANVASES, TensorProto.UINT8, ["B", "H", "W", 3])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", "N", size])
                for name, size in ((REGRESSORS, 16), (LOGITS, 1))
            ],
            initializer=graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="q-face",
    )
    onnx.checker.check_model(network, full_check=True)
    return network


class _Graph:
    """The ONNX nodes so far, and what each node of OpenVINO's became: a constant, or a tensor's name."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._constants: dict[str, NDArray[Any]] = {}
        self._names: dict[str, str] = {}
        self._turned: dict[str, tuple[str, tuple[int, ...]]] = {}  # a transposed tensor -> what it was

    def constant(self, node: Any, index: int) -> NDArray[Any] | None:
        """The values of a node's input, None where they are computed."""
        return self._constants.get(_source(node, index))

    def values(self, node: Any, index: int) -> NDArray[Any]:
        """The values of a node's input that has to be constant."""
        values = self.constant(node, index)
        if values is None:
            raise ValueError(f"input {index} of {_name(node)} is computed, which has no ONNX node here")
        return values

    def keep(self, node: Any, values: NDArray[Any]) -> None:
        """The node gives these values, whatever the input."""
        self._constants[_name(node)] = values

    def alias(self, node: Any, tensor: str) -> None:
        """The node gives a tensor that there is already."""
        self._names[_name(node)] = tensor

    def input(self, node: Any, index: int) -> str:
        """The name of a node's input; a constant becomes an initializer in fp32, stored as it is."""
        source = _source(node, index)
        if source not in self._names:
            self._names[source] = self.stored(self._constants[source])
        return self._names[source]

    def stored(self, values: NDArray[Any]) -> str:
        """The name of a constant tensor; of one in fp16 its cast to fp32."""
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return self.cast(name) if values.dtype == np.float16 else name

    def cast(self, tensor: str) -> str:
        """The tensor in fp32."""
        return self.add("Cast", [tensor], to=TensorProto.FLOAT)

    def transposed(self, tensor: str, order: Sequence[int]) -> str:
        """The tensor with its axes in this order; one that was turned before is not turned back."""
        before, first = self._turned.get(tensor, (tensor, tuple(range(len(order)))))
        together = tuple(first[axis] for axis in order)
        if together == tuple(range(len(order))):
            return before
        turned = self.add("Transpose", [before], perm=list(together))
        self._turned[turned] = before, together
        return turned

    def add(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Adds a node; the name of its output."""
        output = f"{op.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def used_nodes(self, outputs: Sequence[str]) -> list[Any]:
        """The nodes that the network's outputs need: a transposed tensor may be read by nobody."""
        needed, used = set(outputs), []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                used.append(node)
        return used[::-1]

    def result(self, tensor: str, name: str) -> None:
        """The network's output of this name."""
        self._nodes.append(helper.make_node("Identity", [tensor], [name], name=name))


def _name(node: Any) -> str:
    return str(node.get_friendly_name())


def _source(node: Any, index: int) -> str:
    return _name(node.input_value(index).get_node())


def _write_parameter(graph: _Graph, node: Any) -> None:
    graph.alias(node, CANVASES)


def _write_constant(graph: _Graph, node: Any) -> None:
    graph.keep(node, np.array(node.data))


def _write_result(graph: _Graph, node: Any) -> None:
    (name,) = node.output(0).get_tensor().names
    graph.result(graph.input(node, 0), name)


def _write_convert(graph: _Graph, node: Any) -> None:
    """To fp32, the only type that the network computes in."""
    values = graph.constant(node, 0)
    if values is not None:
        graph.keep(node, values)
    elif node.input_value(0).get_element_type().to_dtype() == np.float32:
        graph.alias(node, graph.input(node, 0))
    else:
        graph.alias(node, graph.cast(graph.input(node, 0)))


def _write_transpose(graph: _Graph, node: Any) -> None:
    values, order = graph.constant(node, 0), graph.values(node, 1)
    if values is not None:
        graph.keep(node, values.transpose(order))
    else:
        graph.alias(node, graph.transposed(graph.input(node, 0), order.tolist()))


def _write_reshape(graph: _Graph, node: Any) -> None:
    values, shape = graph.constant(node, 0), graph.values(node, 1)
    if values is not None:
        graph.keep(node, values.reshape(list(node.get_output_shape(0))))
    else:  # 0 keeps a side, for OpenVINO as for ONNX
        graph.alias(node, graph.add("Reshape", [graph.input(node, 0), graph.stored(shape)]))


def _write_unsqueeze(graph: _Graph, node: Any) -> None:
    graph.keep(node, graph.values(node, 0).reshape(list(node.get_output_shape(0))))


def _write_convolution(graph: _Graph, node: Any) -> None:
    """One with or without groups: weights [(groups,) out, in, height, width]."""
    weights = graph.values(node, 1)
    groups = len(weights) if weights.ndim == 5 else 1
    weights = weights.reshape(-1, *weights.shape[-3:])
    inputs = [graph.input(node, 0), graph.stored(weights)]
    graph.alias(node, graph.add("Conv", inputs, group=groups, **_window(node, weights.shape[2:])))


def _write_max_pool(graph: _Graph, node: Any) -> None:
    window = _window(node, node.get_attributes()["kernel"])
    graph.alias(node, graph.add("MaxPool", [graph.input(node, 0)], **window))


def _window(node: Any, kernel: Sequence[int]) -> dict[str, Any]:
    """The attributes of what slides over a picture."""
    attributes = node.get_attributes()
    return {
        "kernel_shape": list(kernel),
        "strides": list(attributes["strides"]),
        "dilations": list(attributes["dilations"]),
        "auto_pad": _PADDING[attributes["auto_pad"]],
    }


def _write_pad(graph: _Graph, node: Any) -> None:
    begin, end, value = (graph.values(node, index) for index in (1, 2, 3))
    pads = graph.stored(np.concatenate([begin, end]).astype(np.int64))
    graph.alias(node, graph.add("Pad", [graph.input(node, 0), pads, graph.stored(value.astype(np.float32))]))


def _write_interpolate(graph: _Graph, node: Any) -> None:
    """An enlargement [B, H, W, C]; ONNX Runtime's fast ones have the channels first."""
    attributes, factors = node.get_attributes(), graph.values(node, 1)
    turned = graph.transposed(graph.input(node, 0), _CHANNELS_FIRST)
    scales = graph.stored(np.array([1, 1, *factors], dtype=np.float32))
    larger = graph.add(
        "Resize",
        [turned, "", scales],
        mode=attributes["mode"].removesuffix("_onnx"),
        coordinate_transformation_mode=attributes["coordinate_transformation_mode"],
    )
    graph.alias(node, graph.transposed(larger, _CHANNELS_LAST))


def _elementwise(op: str) -> Callable[[_Graph, Any], None]:
    """Of an op that ONNX has with the same inputs and the same broadcasting."""

    def write(graph: _Graph, node: Any) -> None:
        inputs = [graph.input(node, index) for index in range(node.get_input_size())]
        graph.alias(node, graph.add(op, inputs))

    return write


_WRITERS: Mapping[str, Callable[[_Graph, Any], None]] = {
    "Parameter": _write_parameter,
    "Constant": _write_constant,
    "Result": _write_result,
    "Convert": _write_convert,
    "Transpose": _write_transpose,
    "Reshape": _write_reshape,
    "Unsqueeze": _write_unsqueeze,
    "Convolution": _write_convolution,
    "GroupConvolution": _write_convolution,
    "MaxPool": _write_max_pool,
    "Pad": _write_pad,
    "Interpolate": _write_interpolate,
    "Add": _elementwise("Add"),
    "Subtract": _elementwise("Sub"),
    "Multiply": _elementwise("Mul"),
    "Relu": _elementwise("Relu"),
}
