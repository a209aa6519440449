"""Which nodes stay at full precision however low the rest goes, and why.

Nodes are found by what stands before and behind them, not by their names: those change with every
export.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from build.precisions import NumberFormat, Precision, format_of

Part = Literal["normalisation", "stem", "heads"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrecisionExclusion:
    """A part of every network that is not lowered at some precisions.

    normalisation: from the pixels to the first convolution. stem: the first convolutions, at most three
    one behind another. heads: all behind the last layer normalisation, which makes logits and from these
    the answers; of masks what comes behind the last convolution.
    """

    part: Part
    applies: Callable[[NumberFormat], bool]
    reason: str


EXCLUSIONS = (
    PrecisionExclusion(
        part="normalisation",
        applies=lambda form: form.bits == 16,
        reason="a pixel less the mean has more digits than 16 bits hold, and it costs next to nothing",
    ),
    PrecisionExclusion(
        part="stem",
        applies=lambda form: form.quantised,
        reason="the first convolutions' rounding errors alone leave the tolerance, and everything rests on "
        "them",
    ),
    PrecisionExclusion(
        part="heads",
        applies=lambda form: not form.full,
        reason="answers in years and degrees have more digits than 16 bits hold, and it costs next to "
        "nothing",
    ),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExcludedNode:
    """A node that is not lowered."""

    name: str
    reason: str
    listed: bool = False  # by `EXCLUSIONS`; else a converter or a measurement left it

    def to_json(self) -> dict[str, Any]:
        """As the step's record and the engine's manifest have it."""
        return {"name": self.name, "why": self.reason, "listed": self.listed}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """A node of a graph, ONNX's or OpenVINO's. The graph's input is one of kind `INPUT`."""

    name: str
    kind: str
    inputs: tuple[str, ...]  # the nodes that feed it


INPUT = "input"
_CONVOLVES = {"Conv", "Convolution", "GroupConvolution"}
_MULTIPLIES = _CONVOLVES | {"MatMul", "Gemm", "Einsum", "ConvTranspose", "ConvolutionBackpropData"}
_NORMALISES = {"LayerNormalization", "MVN"}
_SHAPES = {"Shape", "ShapeOf"}  # their values do not depend on pixels
_STEM_DEPTH = 3


def excluded_nodes(nodes: Sequence[Node], *, precision: Precision) -> dict[str, str]:
    """The nodes that `EXCLUSIONS` names at a precision, each with its reason.

    `nodes` are in execution order.
    """
    members = _parts(nodes)
    return {
        name: exclusion.reason
        for exclusion in EXCLUSIONS
        if exclusion.applies(format_of(precision))
        for name in members.get(exclusion.part, ())
    }


def onnx_nodes(model: Any) -> list[Node]:
    """The nodes of an onnx.ModelProto, whose nodes all have names."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    makers = {value.name: value.name for value in model.graph.input if value.name not in initializers}
    found = [Node(name=name, kind=INPUT, inputs=()) for name in makers]
    for node in model.graph.node:
        makers |= dict.fromkeys(node.output, node.name)
        feeding = tuple(makers[name] for name in node.input if name in makers)
        found.append(Node(name=node.name, kind=node.op_type, inputs=feeding))
    return found


def _parts(nodes: Sequence[Node]) -> Mapping[Part, list[str]]:
    sees, depth, behind = set[str](), dict[str, int](), set[str]()
    kinds = {node.name: node.kind for node in nodes}
    for node in nodes:  # forwards
        if node.kind == INPUT or (node.kind not in _SHAPES and sees.intersection(node.inputs)):
            sees.add(node.name)
        depth[node.name] = max((depth[name] for name in node.inputs), default=0) + (node.kind in _MULTIPLIES)
        if any(name in behind or kinds[name] in _NORMALISES for name in node.inputs):
            behind.add(node.name)
    before_product, before_norm, before_convolution = set[str](), set[str](), set[str]()
    for node in reversed(nodes):
        if node.name in before_product or node.kind in _MULTIPLIES:
            before_product.update(node.inputs)
        if node.name in before_norm or node.kind in _NORMALISES:
            before_norm.update(node.inputs)
        if node.name in before_convolution or node.kind in _CONVOLVES:
            before_convolution.update(node.inputs)
    seeing = [node for node in nodes if node.name in sees and node.kind != INPUT]
    return {
        "normalisation": [
            node.name for node in seeing if depth[node.name] == 0 and node.name in before_product
        ],
        "stem": [node.name for node in seeing if node.kind in _CONVOLVES and depth[node.name] <= _STEM_DEPTH],
        "heads": [
            node.name
            for node in seeing
            if node.name in behind - before_norm - before_convolution
            and node.kind not in _NORMALISES | _CONVOLVES
        ],
    }
