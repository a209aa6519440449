"""The interface of an ONNX file: its inputs, its outputs and its contract.

Everything that `build` makes of a network rests on this, so the checks are here: a file that passes
`read_graph` can be served.
"""

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import onnx

from build.errors import BuildError
from runtime.answering.quality import check_quality
from runtime.contract import Contract, InvalidContract
from runtime.heads import heads_of
from runtime.image.crops import CROPS
from runtime.kinds import kind_of

PIXELS = "pixels"
# Before it LayerNormalization is no operator of its own, and its sums overflow in fp16.
OLDEST_OPSET = 17
_AGAIN = "export it again with `python -m build.stages.export`"
_DATATYPES: dict[int, str] = {onnx.TensorProto.FLOAT: "FP32", onnx.TensorProto.UINT8: "UINT8"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """An output of the graph: its type as the V2 protocol spells it, its shape without the batch."""

    datatype: str
    dims: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph:
    """An ONNX file that can be served."""

    path: Path
    sha256: str
    contract: Contract
    heads: Mapping[str, Head]
    metadata: Mapping[str, str]  # all of the file's metadata_props, the contract among them


FIRST_FAMILY = "qface"


def family_of(metadata: Mapping[str, str]) -> str:
    """What kind of network an ONNX file holds, which is the name that it is served by."""
    return metadata.get("family", FIRST_FAMILY)


def read_graph(path: Path) -> Graph:
    """The interface of an ONNX file; BuildError when it is missing, unreadable or can't be served."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BuildError(
            f"there are no weights at {path}: name an ONNX file with --weights, "
            "or export one with `python -m build.stages.export CHECKPOINT --output FILE.onnx`"
        ) from None
    except OSError as error:
        raise BuildError(
            f"the weights at {path} can't be read ({error.strerror}): name an ONNX file with --weights"
        ) from None
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError, whose place differs between its versions
        raise BuildError(
            f"{path} is not an ONNX file ({error}): export one with `python -m build.stages.export`"
        ) from None
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < OLDEST_OPSET:
        raise BuildError(
            f"{path} has opset {opset}, and {OLDEST_OPSET} is the oldest that is taken: {_AGAIN}"
        )
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    contract = _contract(metadata, path)
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: _interface(value) for value in model.graph.input if value.name not in initializers}
    heads = {value.name: _interface(value) for value in model.graph.output}
    size = contract.input_size
    if inputs != {PIXELS: Head(datatype="UINT8", dims=(size, size, 3))}:
        raise BuildError(
            f"{path} takes {_shown(inputs)} instead of {PIXELS} UINT8 [{size}, {size}, 3]: {_AGAIN}"
        )
    _check_heads(contract, heads, path)
    return Graph(
        path=path, sha256=hashlib.sha256(data).hexdigest(), contract=contract, heads=heads, metadata=metadata
    )


def count_parameters(path: Path) -> int:
    """The number of weights in an ONNX file."""
    model = onnx.load(str(path))
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type in floats)


def select_tasks(contract: Contract, names: Sequence[str] | None) -> Contract:
    """The contract for these tasks (`Contract.select`); BuildError for a task that is unknown."""
    try:
        return contract.select(names)
    except ValueError as error:
        raise BuildError(str(error)) from None


def _contract(metadata: Mapping[str, str], path: Path) -> Contract:
    if "contract" not in metadata:
        raise BuildError(f"{path} has no contract in its metadata, so its answers have no names: {_AGAIN}")
    try:
        contract = Contract.parse(metadata["contract"])
    except InvalidContract as error:
        raise BuildError(f"the metadata of {path} is of no use, as {error}: {_AGAIN}") from None
    if not contract.tasks:
        raise BuildError(f"the contract in {path} names no task: train at least one, and export again")
    if contract.crop not in CROPS:
        raise BuildError(
            f"the contract in {path} asks for the crop {contract.crop!r}, and known are "
            f"{', '.join(CROPS)}: {_AGAIN}"
        )
    return contract


def _check_heads(contract: Contract, heads: Mapping[str, Head], path: Path) -> None:
    try:
        for entry in contract.tasks:
            kind_of(entry).check(entry)
        expected = heads_of(contract)
        check_quality(contract)
    except ValueError as error:
        raise BuildError(f"{path} can't be served, as {error}: {_AGAIN}") from None
    if sorted(expected) != sorted(heads):
        raise BuildError(
            f"{path} answers {', '.join(heads)} but its contract names {', '.join(expected)}: {_AGAIN}"
        )
    for name, head in expected.items():
        if not head.tensor.matches(heads[name].datatype, heads[name].dims):
            what = head.entry.kind if name == head.entry.name else f"the error of {head.entry.kind}"
            raise BuildError(
                f"{path} answers {_shown({name: heads[name]})}, which can't be {what} "
                f"of {len(head.entry.labels)} labels: {_AGAIN}"
            )


def _interface(value: onnx.ValueInfoProto) -> Head:
    tensor = value.type.tensor_type
    dims = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim)
    datatype = _DATATYPES.get(tensor.elem_type, onnx.TensorProto.DataType.Name(tensor.elem_type))
    # A fixed batch can't be served: its whole shape stays, so that the checks fail and show it.
    return Head(datatype=datatype, dims=dims[1:] if dims[:1] == (-1,) else dims)


def _shown(tensors: Mapping[str, Head]) -> str:
    parts: Iterable[str] = (f"{name} {head.datatype} {list(head.dims)}" for name, head in tensors.items())
    return ", ".join(parts)
