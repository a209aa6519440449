"""A network that begins where another stands: all that fits is taken, by task."""

import dataclasses
import pathlib

import pytest
import torch

from training.models import Checkpoint, build_model, build_qface, save_checkpoint
from training.models.checkpoint import round_to_half
from training.models.pretrained_network import load_network
from training.models.qface import CONFIGS, QFaceConfig

SMALL: QFaceConfig = CONFIGS["qface_test"]  # type: ignore[assignment]
PIXELS = torch.arange(2 * 64 * 64 * 3, dtype=torch.int64).remainder(251).to(torch.uint8).view(2, 64, 64, 3)


def _saved(path: pathlib.Path, config: QFaceConfig) -> torch.nn.Module:
    torch.manual_seed(5)
    model = build_qface(config).eval()
    round_to_half(model)
    save_checkpoint(path, Checkpoint(model=model, contract=model.contract(), card={}))
    return model


def test_tasks_that_both_have_are_answered_alike_wherever_their_queries_stand(tmp_path: pathlib.Path) -> None:
    source = _saved(tmp_path / "old.safetensors", SMALL.with_tasks(["gender", "age", "landmarks"]))
    torch.manual_seed(6)
    model = build_qface(SMALL.with_tasks(["age", "landmarks", "gender"])).eval()
    report = load_network(model, tmp_path / "old.safetensors")
    with torch.no_grad():
        old, new = source(PIXELS).logits, model(PIXELS).logits
    assert "the queries of 3 of 3 tasks" in report[0]
    for name, values in old.items():
        torch.testing.assert_close(new[name], values, rtol=1e-4, atol=1e-5)


def test_a_new_task_and_another_way_to_read_one_begin_at_random_and_are_named(tmp_path: pathlib.Path) -> None:
    _saved(tmp_path / "old.safetensors", SMALL.with_tasks(["gender", "age"]))
    model = build_qface(
        dataclasses.replace(SMALL.with_tasks(["gender", "age", "race"]), distributions=("age",))
    )
    report = load_network(model, tmp_path / "old.safetensors")
    assert "the queries of 1 of 3 tasks" in report[0]
    assert "random stays what is read off the queries of age, race" in report[1]


def test_another_design_is_refused_and_nothing_is_taken(tmp_path: pathlib.Path) -> None:
    _saved(tmp_path / "old.safetensors", SMALL.with_tasks(["gender"]))
    model = build_qface(dataclasses.replace(SMALL, width=32, tasks=("gender",)))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"does not fit the network 'qface_test'.*of the same design"):
        load_network(model, tmp_path / "old.safetensors")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_network_without_queries_is_refused(tmp_path: pathlib.Path) -> None:
    _saved(tmp_path / "old.safetensors", SMALL.with_tasks(["gender"]))
    pooled = build_model(dataclasses.replace(SMALL, head="pooled", tasks=("gender",)))
    with pytest.raises(ValueError, match="take its encoder alone"):
        load_network(pooled, tmp_path / "old.safetensors")
