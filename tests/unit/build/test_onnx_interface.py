"""An ONNX file is served only if it says what it answers, and its outputs are what it says."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from build.errors import BuildError
from build.onnx_interface import read_graph, select_tasks
from runtime.contract import Contract, QualityEntry
from tests.helpers.networks import standin_network as standin
from training import tasks
from training.contract import make_contract

CONTRACT = standin.contract_of("expression", "age", "head_pose")


def changed(contract: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The contract with other fields, and the hash of those."""
    return dataclasses.replace(Contract.parse(contract), **fields).to_json()


def selected(contract: dict[str, Any], names: list[str] | None) -> dict[str, Any]:
    return select_tasks(Contract.parse(contract), names).to_json()


def test_a_graph_says_its_contract_and_the_shapes_of_its_heads(tmp_path: Path) -> None:
    graph = read_graph(standin.write(tmp_path / "x.onnx", CONTRACT))
    assert graph.contract.to_json() == CONTRACT
    shapes = {name: (head.datatype, head.dims) for name, head in graph.heads.items()}
    assert shapes == {"expression": ("FP32", (7,)), "age": ("FP32", (1,)), "head_pose": ("FP32", (3, 3))}


def test_missing_weights_are_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"there are no weights at .*gone\.onnx: .*--weights"):
        read_graph(tmp_path / "gone.onnx")


@pytest.mark.parametrize("content", [b"", b"not a network", b"\xff" * 200])
def test_a_file_that_is_no_network_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(BuildError, match=r"x\.onnx"):
        read_graph(path)


def test_an_opset_without_layer_normalisation_is_refused(tmp_path: Path) -> None:
    path = standin.write(tmp_path / "x.onnx", CONTRACT)
    model = onnx.load(str(path))
    model.opset_import[0].version = 16
    onnx.save(model, str(path))
    with pytest.raises(BuildError, match=r"has opset 16, and 17 is the oldest.*export it again"):
        read_graph(path)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({}, "has no contract in its metadata"),
        ({"contract": "no json"}, "the contract is not JSON"),
        ({"contract": "[]"}, r"the contract is \[\] instead of a JSON object"),
        ({"contract": "{}"}, "the contract lacks 'version'"),
        ({"contract": '{"tasks": [1]}'}, "the contract lacks 'version'"),
        (
            {"contract": '{"version": 1, "input_size": 64, "tasks": [1]}'},
            "task 0 of the contract is 1 instead of a JSON object",
        ),
    ],
)
def test_weights_without_a_contract_are_refused(
    tmp_path: Path, metadata: dict[str, str], sentence: str
) -> None:
    path = standin.write(tmp_path / "x.onnx", CONTRACT, metadata=metadata)
    with pytest.raises(BuildError, match=sentence):
        read_graph(path)


def test_a_contract_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    edited: dict[str, Any] = json.loads(json.dumps(CONTRACT))
    edited["tasks"][0]["labels"][:2] = reversed(edited["tasks"][0]["labels"][:2])
    path = standin.write(tmp_path / "x.onnx", CONTRACT, metadata={"contract": json.dumps(edited)})
    with pytest.raises(BuildError, match="does not match its own hash"):
        read_graph(path)


def test_outputs_that_the_contract_does_not_name_are_refused(tmp_path: Path) -> None:
    said = {"contract": json.dumps(standin.contract_of("expression", "gender"))}
    path = standin.write(tmp_path / "x.onnx", CONTRACT, metadata=said)
    with pytest.raises(BuildError, match="its contract names expression, gender"):
        read_graph(path)


def test_an_output_of_another_shape_than_its_labels_is_refused(tmp_path: Path) -> None:
    path = standin.write(tmp_path / "x.onnx", CONTRACT, dims={"expression": [8]})
    with pytest.raises(BuildError, match=r"expression FP32 \[8\].* 7 labels"):
        read_graph(path)


def test_pixels_of_another_size_than_the_contract_s_are_refused(tmp_path: Path) -> None:
    other = changed(CONTRACT, input_size=64)
    path = standin.write(tmp_path / "x.onnx", CONTRACT, metadata={"contract": json.dumps(other)})
    with pytest.raises(BuildError, match=r"instead of pixels UINT8 \[64, 64, 3\]"):
        read_graph(path)


@pytest.mark.parametrize("names", [["expression"], ["head_pose", "expression"], list(tasks.CATALOGUE)])
def test_a_restricted_contract_is_the_one_that_training_would_make(names: list[str]) -> None:
    contract = make_contract(tasks.select(list(tasks.CATALOGUE)), input_size=128).to_json()
    alone = [task for task in tasks.CATALOGUE.values() if task.name in names]
    assert selected(contract, names) == make_contract(alone, input_size=128).to_json()


def test_what_the_contract_does_not_serve_by_default_is_left_out_unless_it_is_named() -> None:
    expression, gender, age = Contract.parse(standin.contract_of("expression", "gender", "age")).tasks
    gender = dataclasses.replace(gender, served_by_default=False)
    contract = changed(CONTRACT, tasks=(expression, gender, age))
    assert [entry["name"] for entry in selected(contract, None)["tasks"]] == ["expression", "age"]
    assert [entry["name"] for entry in selected(contract, ["gender"])["tasks"]] == ["gender"]


def test_race_is_served_only_where_it_is_named() -> None:
    contract = standin.contract_of("expression", "race", "age")
    assert [entry["name"] for entry in selected(contract, None)["tasks"]] == ["expression", "age"]


def test_an_unknown_task_is_refused_with_those_there_are() -> None:
    with pytest.raises(BuildError, match="do not answer smile: choose from expression, age, head_pose"):
        selected(CONTRACT, ["age", "smile"])


def test_a_crop_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    other = changed(CONTRACT, crop="oval")
    path = standin.write(tmp_path / "x.onnx", other)
    with pytest.raises(BuildError, match="asks for the crop 'oval', and known are aligned, box"):
        read_graph(path)


def test_a_quality_that_is_no_probability_is_refused(tmp_path: Path) -> None:
    contract = changed(
        standin.contract_of("age"), quality=QualityEntry(task="age", label="years", minimum=0.5)
    )
    path = standin.write(tmp_path / "x.onnx", contract)
    with pytest.raises(
        BuildError, match="quality is the task 'age', whose answers of kind value are no prob"
    ):
        read_graph(path)


def test_a_restricted_contract_keeps_its_crop() -> None:
    chosen = tasks.select(["expression", "age"])
    contract = make_contract(chosen, input_size=64, crop="box").to_json()
    assert selected(contract, ["age"]) == make_contract(chosen[1:], input_size=64, crop="box").to_json()
