"""Configurations: those that have a name, and those that can't work."""

import dataclasses
from typing import Any

import pytest
import torch
from timm.optim import param_groups_layer_decay
from torch.utils.flop_counter import FlopCounterMode

from tests.helpers.networks.small_networks import made_pixels
from training.models import (
    CONFIGS,
    build_model,
    build_qface,
)
from training.tasks import QFACE_TASKS


@pytest.mark.parametrize("name", ["qface_tiny", "qface_quick"])
def test_networks_for_small_machines_are_small(name: str) -> None:
    model = build_qface(CONFIGS[name]).eval().requires_grad_(False)
    model.set_explicit_attention()
    with FlopCounterMode(display=False) as counter:
        model(made_pixels(1, model.config.input_size))
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{name}: {parameters / 1e6:.2f} M parameters, {counter.get_total_flops() / 1e9:.2f} GFLOP a face")
    assert parameters <= 8_000_000
    assert counter.get_total_flops() <= 3.5e9


def test_the_papers_network_has_its_shapes() -> None:
    config = CONFIGS["qface_base"]
    model = build_qface(config)
    assert model.fusion.positions.shape == (3 * 197, 1024)
    assert model.encoder.channels == [768, 768, 768]
    assert model.decoder.queries.shape == (68, 1024)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(134e6, rel=0.02)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"heads": 5}, "heads"),
        ({"stages": (3, 1)}, "increasing"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"tasks": ("mood",)}, "mood"),
        ({"tasks": ()}, "names no task"),
        ({"tasks": ("age", "age")}, "named twice"),
        ({"extensions": (("age",),)}, "named twice"),
        ({"extensions": ((),)}, "names no task"),
        ({"head": "linear"}, "choose from queries, pooled"),
        ({"head": "pooled", "tasks": ("age", "parsing")}, "can't answer parsing"),
        ({"head": "pooled", "tasks": ("age",), "extensions": (("race",),)}, "can't be extended"),
        ({"mask_width": 3}, "mask_width"),
        ({"mask_laterals": (1, 0)}, "mask_laterals"),
    ],
)
def test_a_configuration_that_can_not_work_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(CONFIGS["qface_tiny"], **change)


@pytest.mark.parametrize("name", ["qface_base_all", "qface_tiny", "qface_test"])
def test_all_ten_tasks_have_191_queries(name: str) -> None:
    tasks = [task for group in CONFIGS[name].groups for task in group]
    assert len(tasks) == 10
    assert sum(task.queries for task in tasks) == 191


def test_the_network_for_tests_is_tiny() -> None:
    config = CONFIGS["qface_test"]
    assert config.input_size == 64
    assert sum(p.numel() for p in build_model(config).parameters()) <= 1_000_000


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"head": "pooled", "tasks": (*QFACE_TASKS, "landmarks")},
        {"head": "pooled", "tasks": ("age",)},
        {"stages": CONFIGS["qface_test"].stages[-1:], "fusion_block": False},
        {"final_norm": False},
    ],
)
def test_a_configuration_answers_all_its_tasks_and_every_parameter_learns(change: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = build_model(dataclasses.replace(CONFIGS["qface_test"], **change)).train()
    answers = model(made_pixels(2, 64)).logits
    for task in model.tasks:
        answer = answers[task.name]
        if task.kind == "points":
            assert answer.shape == (2, len(task.labels), 2)
        elif task.kind == "mask":
            assert answer.shape == (2, len(task.labels), 32, 32)
        else:
            assert answer.shape == (2, task.queries)
    torch.stack([answer.square().mean() for answer in answers.values()]).sum().backward()
    still = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert still == []  # distributed training waits for each of them


@pytest.mark.parametrize("change", [{}, {"head": "pooled", "tasks": ("age",)}])
def test_layer_decay_slows_the_encoder_s_first_layers_most(change: dict[str, Any]) -> None:
    model = build_model(dataclasses.replace(CONFIGS["qface_test"], **change))
    groups = param_groups_layer_decay(model, 0.05, model.no_weight_decay(), layer_decay=0.5)
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    of = {name: scale[id(p)] for name, p in model.named_parameters() if p.requires_grad}
    assert of["encoder.model.patch_embed.proj.weight"] == 0.5**5
    assert [of[f"encoder.model.blocks.{i}.mlp.fc1.weight"] for i in range(4)] == [0.5**4, 0.5**3, 0.5**2, 0.5]
    behind = {value for name, value in of.items() if not name.startswith("encoder.")}
    assert behind == {1.0}
