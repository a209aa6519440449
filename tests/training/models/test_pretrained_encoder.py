"""An encoder's first weights: from any file of the same encoder, and a sentence for every other."""

import dataclasses
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from training.models import CONFIGS, build_model, save_checkpoint
from training.models.network import FaceNetwork
from training.models.pretrained_encoder import load_encoder, load_imagenet
from training.train.random_initialisation import random_checkpoint

CONFIG = dataclasses.replace(CONFIGS["qface_test"], tasks=("age",))


def network(seed: int = 0, **changes: object) -> FaceNetwork:
    torch.manual_seed(seed)
    return build_model(dataclasses.replace(CONFIG, **changes))


def encoders_agree(one: FaceNetwork, other: FaceNetwork) -> bool:
    there = other.encoder.state_dict()
    # Positions are fixed, and a checkpoint has rounded ones.
    names = [name for name in there if not name.endswith("pos_embed")]
    return all(torch.equal(there[name], one.encoder.state_dict()[name]) for name in names)


@pytest.mark.parametrize("prefix", ["encoder.model.", "encoder.", "model.", ""])
def test_an_encoder_is_taken_whatever_its_weights_are_called(tmp_path: Path, prefix: str) -> None:
    source, model = network(1), network(2)
    path = tmp_path / "encoder.safetensors"
    weights = {prefix + name: value for name, value in source.encoder.model.state_dict().items()}
    safetensors.torch.save_file(weights, str(path))
    assert not encoders_agree(source, model)
    report = load_encoder(model, path)
    assert encoders_agree(source, model)
    assert report[0].endswith(f"weights come from {path}")


def test_a_checkpoint_of_other_tasks_and_another_head_gives_its_encoder(tmp_path: Path) -> None:
    path = tmp_path / "multi_head.safetensors"
    source = random_checkpoint(dataclasses.replace(CONFIG, tasks=("gender",)), seed=3)
    save_checkpoint(path, source)
    model = network(2, head="pooled")
    report = load_encoder(model, path)
    assert encoders_agree(source.model, model)
    assert len(report) == 1


def test_what_was_not_taken_is_said(tmp_path: Path) -> None:
    source, model = network(1), network(2)
    weights = {f"encoder.model.{k}": v for k, v in source.encoder.model.state_dict().items()}
    missing = "encoder.model.blocks.2.norm1.bias"
    del weights[missing]
    weights["encoder.model.norm.weight"] = torch.zeros(96)
    path = tmp_path / "part.safetensors"
    safetensors.torch.save_file(weights, str(path))
    _, random, left = load_encoder(model, path)
    assert "blocks.2.norm1.bias" in random
    assert "norm.weight" in left


def test_a_vit_keeps_the_paper_s_fixed_positions(tmp_path: Path) -> None:
    source, model = network(1), network(2)
    weights = dict(source.encoder.model.state_dict())
    weights["pos_embed"] = torch.ones_like(weights["pos_embed"])
    path = tmp_path / "learned.safetensors"
    safetensors.torch.save_file(weights, str(path))
    before = model.encoder.model.pos_embed.clone()
    load_encoder(model, path)
    assert torch.equal(model.encoder.model.pos_embed, before)


def test_what_is_no_such_encoder_is_told_in_one_line_and_nothing_is_taken(tmp_path: Path) -> None:
    model = network(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    text = tmp_path / "text.safetensors"
    text.write_text("no weights")
    foreign = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"conv.weight": torch.zeros(3)}, str(foreign))
    wide = tmp_path / "wide.safetensors"
    options = {**CONFIG.encoder_options, "embed_dim": 48}
    save_checkpoint(wide, random_checkpoint(dataclasses.replace(CONFIG, encoder_options=options), seed=0))
    for path, says in [
        (tmp_path, "is a directory"),
        (tmp_path / "gone.safetensors", "does not exist"),
        (text, "is not a safetensors file"),
        (foreign, "holds no weight of the encoder"),
        (wide, r"does not fit the encoder .* instead of"),
    ]:
        with pytest.raises(ValueError, match=says) as caught:
            load_encoder(model, path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_without_a_network_imagenet_s_weights_are_missed_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("Name or service not known\nand much more")

    model = network()
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        ValueError, match=r"can't be downloaded \(Name or service not known\): go online once"
    ) as e:
        load_imagenet(model)
    assert "\n" not in str(e.value)


def test_imagenet_s_weights_are_taken_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(CONFIGS["qface_quick"], tasks=("age",))
    torch.manual_seed(0)
    pretrained = timm.create_model("resnet10t", num_classes=0)
    model = build_model(config)
    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: pretrained)
    report = load_imagenet(model)
    assert torch.equal(model.encoder.model.conv1[0].weight, pretrained.conv1[0].weight)
    assert "timm's resnet10t" in report[0]


def test_an_encoder_without_imagenet_weights_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    monkeypatch.setattr(timm, "is_model_pretrained", lambda name: False)
    with pytest.raises(ValueError, match="timm has no ImageNet weights for 'vit_tiny_patch16_224'"):
        load_imagenet(model)
