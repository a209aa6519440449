"""What an ONNX file says of itself: its inputs, its outputs and its contract.

Everything that `build` makes of a network rests on this, so the checks are here: a file that passes
`read_graph` can be served.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from build.errors import BuildError
from runtime.image.crops import ALIGNED, CROPS

PIXELS = "pixels"
# Before it LayerNormalization is no operator of its own, and its sums overflow in fp16.
OLDEST_OPSET = 17
_AGAIN = "export it again with `python -m build.stages.export`"
_DATATYPES: dict[int, str] = {onnx.TensorProto.FLOAT: "FP32", onnx.TensorProto.UINT8: "UINT8"}
# The shape without the batch that a head of each kind has; None: the graph decides.
_KINDS: dict[str, tuple[str, Callable[[int], tuple[int, ...]] | None]] = {
    "classes": ("FP32", lambda count: (count,)),
    "multilabel": ("FP32", lambda count: (count,)),
    "value": ("FP32", lambda count: (1,)),
    "rotation": ("FP32", lambda count: (3, 3)),
    "points": ("FP32", lambda count: (count, 2)),
    "mask": ("UINT8", None),
}


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
    contract: Mapping[str, Any]
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
    size = contract["input_size"]
    if inputs != {PIXELS: Head(datatype="UINT8", dims=(size, size, 3))}:
        raise BuildError(
            f"{path} takes {_shown(inputs)} instead of {PIXELS} UINT8 [{size}, {size}, 3]: {_AGAIN}"
        )
    _check_heads(contract, heads, path)
    return Graph(
        path=path, sha256=hashlib.sha256(data).hexdigest(), contract=contract, heads=heads, metadata=metadata
    )


def restrict(contract: Mapping[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    """The contract for these tasks only, with its own hash; None: for those served by default.

    An entry with `default` false is served only where it is named.
    """
    known = {entry["name"]: entry for entry in contract["tasks"]}
    if names is None:
        names = [name for name, entry in known.items() if entry.get("default", True)]
    missing = [name for name in names if name not in known]
    if missing:
        raise BuildError(f"the weights do not answer {', '.join(missing)}: choose from {', '.join(known)}")
    if not names:
        raise BuildError(f"no task is named: choose from {', '.join(known)}")
    restricted = {**contract, "tasks": [known[name] for name in known if name in names]}
    restricted["hash"] = contract_hash(restricted)
    return restricted


def contract_hash(contract: Mapping[str, Any]) -> str:
    """The contract's hash as `training.tasks.contract_hash` defines it (a test holds the two together)."""
    meaning = {key: value for key, value in contract.items() if key != "hash"}
    canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _contract(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    try:
        contract: dict[str, Any] = json.loads(metadata["contract"])
        stated, entries, _ = contract["hash"], contract["tasks"], contract["input_size"]
        names = [entry["name"] for entry in entries]
    except (KeyError, TypeError, ValueError):
        raise BuildError(
            f"{path} says no contract in its metadata, so nobody could name its answers: {_AGAIN}"
        ) from None
    if stated != contract_hash(contract):
        raise BuildError(f"the contract in {path} does not match its own hash {stated}: {_AGAIN}")
    if not names:
        raise BuildError(f"the contract in {path} names no task: train at least one, and export again")
    if contract.get("crop", ALIGNED) not in CROPS:
        raise BuildError(
            f"the contract in {path} asks for the crop {contract['crop']!r}, and known are "
            f"{', '.join(CROPS)}: {_AGAIN}"
        )
    return contract


def _check_heads(contract: Mapping[str, Any], heads: Mapping[str, Head], path: Path) -> None:
    names = [entry["name"] for entry in contract["tasks"]]
    if sorted(names) != sorted(heads):
        raise BuildError(
            f"{path} answers {', '.join(heads)} but its contract names {', '.join(names)}: {_AGAIN}"
        )
    for entry in contract["tasks"]:
        head = heads[entry["name"]]
        if entry["kind"] not in _KINDS:
            raise BuildError(
                f"task {entry['name']} in {path} is of the unknown kind {entry['kind']}: "
                f"known are {', '.join(_KINDS)}"
            )
        datatype, dims = _KINDS[entry["kind"]]
        right_shape = len(head.dims) == 2 if dims is None else head.dims == dims(len(entry["labels"]))
        if head.datatype != datatype or not right_shape:
            raise BuildError(
                f"{path} answers {_shown({entry['name']: head})}, which can't be {entry['kind']} "
                f"of {len(entry['labels'])} labels: {_AGAIN}"
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
