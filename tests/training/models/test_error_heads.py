"""Expected errors are read off the queries, in checkpoints and graphs, and no answer changes by them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import safetensors.torch
import torch

from build.acceptance.comparison_pictures import pictures
from build.errors import BuildError
from build.onnx_interface import read_graph
from runtime.engines.openvino import OpenVinoEngine
from runtime.heads import heads_of
from tests.helpers.networks.error_networks import ERRORS, error_checkpoint, export_with_errors
from tests.helpers.networks.few_layers import FEW_LAYERS
from training.contract import LAPLACE, make_contract, with_errors
from training.models import (
    Checkpoint,
    ExportWrapper,
    QFace,
    build_qface,
    load_checkpoint,
    save_checkpoint,
)
from training.models.qface.extension import extended
from training.plain_data import plain
from training.tasks import select
from training.train.overrides import overridden, recorded
from training.train.recipes import run_named

TASKS = (*ERRORS, "gender")
SIZE = FEW_LAYERS.input_size


def pixels(count: int = 3) -> torch.Tensor:
    return torch.from_numpy(pictures(count, size=SIZE, seed=4))


@pytest.fixture(scope="module")
def made() -> Checkpoint:
    return error_checkpoint(tasks=TASKS)


@pytest.fixture(scope="module")
def saved(made: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "errors.safetensors"
    save_checkpoint(path, made)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_with_errors(tmp_path_factory.mktemp("exported") / "errors.onnx", tasks=TASKS)


def test_no_answer_changes_by_a_bit_where_errors_are_added(made: Checkpoint) -> None:
    without = error_checkpoint(tasks=TASKS, errors=())
    with torch.no_grad():
        old, new = without.model(pixels()), made.model(pixels())
    assert not old.errors
    assert list(new.errors) == list(ERRORS)
    kept = made.model.state_dict()
    assert all(torch.equal(values, kept[name]) for name, values in without.model.state_dict().items())
    assert all(torch.equal(values, new.logits[name]) for name, values in old.logits.items())


def test_errors_have_each_kind_s_shape_and_are_above_0(made: Checkpoint) -> None:
    with torch.no_grad():
        errors = made.model(pixels()).errors
    shapes = {name: tuple(values.shape) for name, values in errors.items()}
    assert shapes == {"age": (3, 1), "head_pose": (3, 3), "landmarks": (3, 68)}
    assert all(bool((values > 0).all()) for values in errors.values())
    assert all(bool((values[0] != values[1]).any()) for values in errors.values())


def test_nothing_but_a_head_learns_from_its_error(made: Checkpoint) -> None:
    model = error_checkpoint(tasks=TASKS).model
    assert isinstance(model, QFace)
    assert model.error_heads is not None
    assert not any(parameter.requires_grad for parameter in model.error_heads.parameters())
    model.error_heads.requires_grad_(True)
    torch.cat([values.flatten() for values in model(pixels()).errors.values()]).sum().backward()  # type: ignore[no-untyped-call]
    learned = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learned
    assert all(name.startswith("error_heads.") for name in learned)


def test_a_checkpoint_keeps_its_errors(made: Checkpoint, saved: Path) -> None:
    loaded = load_checkpoint(saved)
    assert loaded.model.config == made.model.config
    assert loaded.contract == made.contract
    assert {entry.name for entry in loaded.contract.tasks if entry.error is not None} == set(ERRORS)
    with torch.no_grad():
        before, after = made.model(pixels()).errors, loaded.model(pixels()).errors
    assert all(torch.equal(before[name], after[name]) for name in ERRORS)


def test_a_checkpoint_without_errors_is_written_as_it_always_was(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_checkpoint(path, error_checkpoint(tasks=TASKS, errors=()))
    with safetensors.safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
        assert not [name for name in file.keys() if "error" in name]  # noqa: SIM118  (it is no dict)
    assert "errors" not in json.loads(metadata["config"])
    assert "error" not in metadata["contract"]


def test_a_run_without_errors_is_recorded_as_it_always_was() -> None:
    run = run_named("qface_test")
    assert "errors" not in recorded(run)["model"]
    assert "errors" not in plain(run.model)
    changed = overridden(run, ["model.errors=age"])
    assert recorded(changed)["model"]["errors"] == ("age",)


def test_the_random_numbers_that_follow_a_network_are_the_same_with_errors() -> None:
    states = []
    for errors in ((), ERRORS):
        torch.manual_seed(0)
        build_qface(dataclasses.replace(FEW_LAYERS, tasks=TASKS, errors=errors))
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_an_extended_network_keeps_its_errors_bit_by_bit(made: Checkpoint) -> None:
    new = extended(made.model, ["race_utkface"])
    with torch.no_grad():
        before, after = made.model(pixels()), new(pixels())
    assert list(after.errors) == list(ERRORS)
    assert all(torch.equal(values, after.errors[name]) for name, values in before.errors.items())


def test_a_task_that_an_extension_brought_can_have_an_error(made: Checkpoint) -> None:
    config = dataclasses.replace(
        FEW_LAYERS, tasks=("gender",), extensions=(("age",), ("landmarks",)), errors=("landmarks", "age")
    )
    from training.train.random_initialisation import random_checkpoint

    with torch.no_grad():
        errors = random_checkpoint(config, seed=0).model(pixels()).errors
    assert {name: tuple(values.shape) for name, values in errors.items()} == {
        "landmarks": (3, 68),
        "age": (3, 1),
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"errors": ("gender",)}, "errors names gender, of which .* choose from age, head_pose, landmarks"),
        ({"errors": ("attributes",)}, "errors names attributes"),
        ({"errors": ("age", "age")}, "errors names a task twice"),
        ({"errors": ("age",), "head": "pooled"}, "for it has no queries"),
        ({"errors": ("nothing",)}, "errors names nothing"),
    ],
)
def test_errors_that_a_network_can_not_state_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        dataclasses.replace(FEW_LAYERS, tasks=TASKS, **change)


def test_fewer_tasks_have_fewer_errors(made: Checkpoint) -> None:
    fewer = dataclasses.replace(FEW_LAYERS, tasks=TASKS, errors=ERRORS).with_tasks(("gender", "age"))
    assert fewer.errors == ("age",)


def test_a_contract_with_errors_that_the_network_does_not_state_is_refused(
    saved: Path, tmp_path: Path
) -> None:
    bare = error_checkpoint(tasks=TASKS, errors=())
    promised = with_errors(bare.contract, {"age": LAPLACE}, tasks=bare.model.tasks)
    with pytest.raises(ValueError, match="expected errors of age, which the network does not state"):
        dataclasses.replace(bare, contract=promised)
    with safetensors.safe_open(str(saved), framework="pt") as file:
        metadata = dict(file.metadata())
    tensors = {
        name: tensor
        for name, tensor in safetensors.torch.load_file(str(saved)).items()
        if not name.startswith("error_heads.")
    }
    config = json.loads(metadata["config"])
    del config["errors"]
    metadata["config"] = json.dumps(config)
    doctored = tmp_path / "doctored.safetensors"
    safetensors.torch.save_file(tensors, str(doctored), metadata)
    with pytest.raises(ValueError, match=r"doctored.safetensors can't be read \(the contract has expected"):
        load_checkpoint(doctored)


def test_a_contract_s_errors_are_of_its_own_tasks_and_of_kinds_that_have_some() -> None:
    tasks = select(TASKS)
    contract = make_contract(tasks, input_size=64, errors={"head_pose": LAPLACE})
    bounds = contract.entry("head_pose").error
    assert bounds is not None
    assert (bounds.unit, bounds.within) == ("degrees", LAPLACE)
    with pytest.raises(ValueError, match="errors names parsing, which the contract does not have"):
        make_contract(tasks, input_size=64, errors={"parsing": LAPLACE})
    with pytest.raises(ValueError, match="'gender' can't state how far it may be off"):
        make_contract(tasks, input_size=64, errors={"gender": LAPLACE})


# The graph; torch and ONNX Runtime were compared when it was exported. ----------------------------------


def test_the_graph_answers_every_head_of_its_contract_in_order(exported: Path) -> None:
    graph = read_graph(exported)
    assert list(graph.heads) == list(heads_of(graph.contract))
    assert graph.heads["age_error"].dims == (1,)
    assert graph.heads["head_pose_error"].dims == (3,)
    assert graph.heads["landmarks_error"].dims == (68,)
    report = json.loads(exported.with_name(f"{exported.name}.json").read_text())
    assert set(report["tolerances"]) == set(graph.heads)
    assert all(set(by_output) == set(graph.heads) for by_output in report["parity"].values())


def test_an_engine_answers_the_errors_that_torch_does(exported: Path) -> None:
    loaded = load_checkpoint(exported.with_suffix(".safetensors"))
    given = pixels(5)
    with torch.no_grad():
        expected = ExportWrapper(loaded.model, loaded.contract)(given)
    answered = OpenVinoEngine(exported, precision="fp32", threads=1).infer({"pixels": given.numpy()})
    for name, head in heads_of(loaded.contract).items():
        apart = head.kind.difference(expected[name].numpy(), answered[name], in_units=False)
        assert apart <= head.kind.tolerance("fp32"), name


@pytest.mark.parametrize("lost", ["age_error", "landmarks_error"])
def test_a_graph_without_an_error_that_its_contract_names_is_refused(
    exported: Path, tmp_path: Path, lost: str
) -> None:
    model = onnx.load(str(exported))
    kept = [output for output in model.graph.output if output.name != lost]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    path = tmp_path / "less.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BuildError, match=f"but its contract names .*{lost}"):
        read_graph(path)


def test_an_error_of_another_shape_is_refused(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(str(exported))
    (output,) = (output for output in model.graph.output if output.name == "head_pose_error")
    output.type.tensor_type.shape.dim[1].dim_value = 4
    path = tmp_path / "wrong.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BuildError, match="can't be the error of rotation of 3 labels"):
        read_graph(path)
