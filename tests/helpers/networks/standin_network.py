"""A small ONNX file with the interface of an exported network, for tests that need no answers."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from build.acceptance.parity import tolerances
from build.manifest import package_versions
from build.onnx_interface import read_graph
from build.stages.stage import RECORD
from runtime.contract import Contract, ErrorBounds, QualityEntry
from runtime.kinds import kind_of
from runtime.kinds.base import HeadTensor
from training.contract import make_contract
from training.tasks import CATALOGUE, Task

SIZE = 32


def contract_of(*names: str) -> dict[str, Any]:
    """The contract of a network that answers these tasks of the catalogue."""
    return make_contract([CATALOGUE[name] for name in names], input_size=SIZE).to_json()


def contract_with(task: Task) -> dict[str, Any]:
    """The contract of a network that answers a task that the catalogue does not have."""
    return make_contract([task], input_size=SIZE).to_json()


def stating_errors(contract: Mapping[str, Any], *, minimum: float = 0.5) -> dict[str, Any]:
    """The contract with an error of every task whose kind has one, and a quality where it has that task."""
    parsed = Contract.parse(contract)
    tasks = tuple(
        dataclasses.replace(entry, error=ErrorBounds(unit=entry.unit, within=((0.5, 0.7), (0.8, 1.6))))
        if kind_of(entry).error is not None
        else entry
        for entry in parsed.tasks
    )
    quality = QualityEntry(task="face_quality", label="usable", minimum=minimum)
    return dataclasses.replace(
        parsed, tasks=tasks, quality=quality if quality.task in parsed.names else None
    ).to_json()


def write(
    path: Path,
    contract: Mapping[str, Any],
    *,
    seed: int = 0,
    metadata: Mapping[str, str] | None = None,
    dims: Mapping[str, list[int]] | None = None,
    constants: Mapping[str, float] | None = None,
) -> Path:
    """An ONNX file whose heads are constants times the mean of the pixels.

    `metadata` replaces what the file says of itself, `dims` the shape of single heads; a head in `constants`
    has this one number everywhere, whatever the pixels.
    """
    random = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
    ]
    initializers = [numpy_helper.from_array(np.array([1, 2, 3]), "axes")]
    outputs = []
    for name, head in _heads(contract):
        mask = head.datatype == "UINT8"
        shape = (dims or {}).get(name, [SIZE if size is None else size for size in head.dims])
        weights = random.normal(size=[1, *shape]).astype(np.float32)
        constant = (constants or {}).get(name)
        if constant is not None:
            weights = np.zeros_like(weights)
            initializers.append(numpy_helper.from_array(np.array(constant, np.float32), f"{name}_constant"))
        initializers.append(numpy_helper.from_array(weights, f"{name}_weights"))
        initializers.append(numpy_helper.from_array(np.array([-1, *[1] * len(shape)]), f"{name}_shape"))
        nodes.append(helper.make_node("Reshape", ["mean", f"{name}_shape"], [f"{name}_mean"]))
        product = name if not mask and constant is None else f"{name}_product"
        nodes.append(helper.make_node("Mul", [f"{name}_mean", f"{name}_weights"], [product]))
        if constant is not None:
            nodes.append(helper.make_node("Add", [product, f"{name}_constant"], [name]))
        if mask:
            nodes.append(helper.make_node("Cast", [product], [name], to=TensorProto.UINT8))
        datatype = TensorProto.UINT8 if mask else TensorProto.FLOAT
        outputs.append(helper.make_tensor_value_info(name, datatype, ["batch", *shape]))
    size = contract["input_size"]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", size, size, 3])
    graph = helper.make_graph(nodes, "standin", [pixels], outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    said = {"contract": json.dumps(contract)} if metadata is None else dict(metadata)
    helper.set_model_props(model, said)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def _heads(contract: Mapping[str, Any]) -> Iterator[tuple[str, HeadTensor]]:
    """By the tasks alone: the contract may be one that is refused."""
    for entry in contract["tasks"]:
        kind, count = kind_of(entry["kind"]), len(entry["labels"])
        yield entry["name"], kind.head(count)
        if "error" in entry and kind.error is not None:
            yield f"{entry['name']}_error", kind.error.head(count)


def write_engine(directory: Path, weights: Path, *, precision: str = "bf16", **changes: Any) -> Path:
    """A built OpenVINO engine as the compile stage leaves it; `changes` replace parts of its manifest."""
    graph = read_graph(weights)
    allowed = tolerances(graph.contract, precision=precision)
    manifest = {
        "target": "openvino",
        "precision": precision,
        "files": {"model.onnx": graph.sha256},
        "settings": {"hint": precision, "threads": 0, "streams": 1},
        "versions": package_versions(),
        "trained": True,
        "tolerances": allowed,
        "parity": {"of": "the engine", "faces": 1, "by_batch": {"1": dict.fromkeys(allowed, 0.0)}},
        "onnx": {"onnx_sha256": graph.sha256, "checkpoint_sha256": graph.metadata.get("checkpoint_sha256")},
        "exported": {},
    } | changes
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("model.onnx", "exported.onnx"):
        (directory / name).write_bytes(weights.read_bytes())
    record = {
        "status": "done",
        "inputs": {},
        "outputs": dict.fromkeys(("model.onnx", "exported.onnx"), graph.sha256),
        "report": manifest,
    }
    (directory / RECORD).write_text(json.dumps(record))
    return directory
