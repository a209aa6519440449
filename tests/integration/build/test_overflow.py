"""A network whose values leave fp16's range: it is mended where that can be known, and refused where not."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from build.acceptance.gate import GateError
from build.stages.compile import CompileStage
from build.stages.precision import PrecisionStage
from build.stages.stage import perform
from tests.helpers.networks import standin_network as standin
from tests.helpers.networks.exported_stage import write_exported


def overflowing(path: Path, contract: Mapping[str, Any]) -> Path:
    """A network whose answers are harmless and whose values in between reach about a million."""
    random = np.random.default_rng(0)
    weights = {
        "axes": np.array([1, 2]),
        "first": random.uniform(0.5, 1, (3, 8)).astype(np.float32),
        "large": np.array(2000, np.float32),
        "small": np.array(1 / 2000 / 255, np.float32),
        "last": random.uniform(0, 1, (8, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["colour"], name="mean", keepdims=0),
        helper.make_node("MatMul", ["colour", "first"], ["mixed"], name="mix"),
        helper.make_node("Mul", ["mixed", "large"], ["far"], name="grow"),
        helper.make_node("Mul", ["far", "small"], ["near"], name="shrink"),
        helper.make_node("MatMul", ["near", "last"], ["age"], name="answer"),
    ]
    size = contract["input_size"]
    graph = helper.make_graph(
        nodes,
        "overflowing",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info("age", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"contract": json.dumps(contract)})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """What the export leaves, of that network."""
    place = tmp_path / "onnx"
    place.mkdir()
    overflowing(place / "model.onnx", standin.contract_of("age"))
    return write_exported(place, parameters=33)


def built(exported: Path, place: Path) -> dict[str, Any]:
    lowered = perform(
        PrecisionStage(
            network=exported, directory=place / "precision", target="tensorrt-rtx", precision="fp16"
        ),
        log=print,
    )
    done = perform(CompileStage(network=lowered.directory, directory=place / "engine"), log=print)
    return dict(done.report)


def test_nodes_whose_values_reach_too_far_stay_fp32_and_are_named(exported: Path, tmp_path: Path) -> None:
    report = built(exported, tmp_path)
    kept = {kept["name"]: kept["why"] for kept in report["kept"]}
    assert "too far for fp16" in kept["grow"]
    assert max(by_output["age"] for by_output in report["parity"]["by_batch"].values()) < 0.5


def test_an_overflow_that_nobody_foresaw_is_caught_by_the_gate(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("build.lowering.half_precision.FP16_LARGEST", np.inf)
    with pytest.raises(GateError, match=r"differs from torch in age by inf \(allowed 0\.5"):
        built(exported, tmp_path)
    assert not (tmp_path / "engine").exists()
    failure = json.loads((tmp_path / "engine.FAILED.json").read_text())
    assert failure["report"]["layers"]["counts"]["fp16"] >= 1
    assert failure["report"]["parity"]["by_batch"]["1"]["age"] == float("inf")
