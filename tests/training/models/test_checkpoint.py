"""A file that is no whole checkpoint is refused in one sentence that names it, wherever it is broken."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

from training.contract import make_contract
from training.models import CONFIGS, Checkpoint, QFaceConfig, build_model, load_checkpoint, save_checkpoint
from training.models.checkpoint import round_to_half
from training.tasks import QFACE_TASKS
from training.train.random_initialisation import random_checkpoint


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "whole.safetensors"
    save_checkpoint(path, random_checkpoint(CONFIGS["qface_tiny"], seed=0))
    return path


def changed(whole: Path, path: Path, change: Callable[[dict, dict], object]) -> Path:
    """A copy with other metadata or tensors."""
    with safetensors.safe_open(str(whole), framework="pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load_file(str(whole))
    change(metadata, tensors)
    safetensors.torch.save_file(tensors, str(path), metadata)
    return path


def says(name: str, **fields: object) -> Callable[[dict, dict], object]:
    """A change of single fields of one entry of the metadata."""
    return lambda metadata, _: metadata.update({name: json.dumps(json.loads(metadata[name]) | fields)})


@pytest.mark.parametrize("name", ["config", "contract", "labels", "card"])
@pytest.mark.parametrize(
    ("text", "words"), [(None, "has no"), ("{", "is no JSON"), ("[]", "is no JSON object")]
)
def test_an_entry_that_is_missing_broken_or_of_another_type_is_named(
    whole: Path, tmp_path: Path, name: str, text: str | None, words: str
) -> None:
    def change(metadata: dict, _: dict) -> None:
        del metadata[name]
        if text is not None:
            metadata[name] = text

    path = changed(whole, tmp_path / "x.safetensors", change)
    with pytest.raises(ValueError, match=words) as caught:
        load_checkpoint(path)
    said = str(caught.value)
    assert name in said
    assert str(path) in said
    assert "train it anew" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (says("config", colour="blue"), "has colour, which this code does not know"),
        (says("config", heads=5), "makes no network .*multiple of"),
        (says("config", heads=0), "makes no network"),
        (says("config", width="wide"), "makes no network"),
        (says("config", encoder="no_such_encoder"), "makes no network"),
        (says("config", tasks=["smile"]), "makes no network .*unknown task smile"),
        (lambda metadata, _: metadata.update(config="{}"), "makes no network"),
        (lambda metadata, _: metadata.update(contract="{}"), "is not a whole one"),
        (says("contract", tasks=[]), "is not a whole one"),
        (says("contract", input_size=64), "is not a whole one"),
        (says("labels", age=["old"]), "other labels of 'age'"),
        (says("labels", age=3), "other labels of 'age'"),
        (
            lambda _, tensors: tensors.update({"decoder.queries": torch.zeros(1, 2)}),
            r"does not fit its own configuration \(size mismatch for decoder\.queries",
        ),
        (lambda _, tensors: tensors.pop("decoder.queries"), r"missing \['decoder\.queries'\]"),
        (lambda _, tensors: tensors.update(more=torch.zeros(1)), r"unexpected \['more'\]"),
        (says("config", extensions=[["race_utkface"]]), r"missing \['extensions\.0\.queries'"),
        (says("config", extensions=[["age"]]), "makes no network .*named twice"),
        (says("config", head="pooled", tasks=["age"]), r"missing \['head\.weight'"),
    ],
)
def test_what_does_not_fit_together_is_told_in_one_sentence(
    whole: Path, tmp_path: Path, change: Callable[[dict, dict], object], words: str
) -> None:
    path = changed(whole, tmp_path / "x.safetensors", change)
    with pytest.raises(ValueError, match=words) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_such_file_at_all_is_told(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a directory: name the \.safetensors file"):
        load_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        load_checkpoint(tmp_path / "gone.safetensors")
    half = tmp_path / "half.safetensors"
    half.write_bytes(whole.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_checkpoint(half)
    foreign = changed(whole, tmp_path / "foreign.safetensors", lambda metadata, _: metadata.clear())
    with pytest.raises(ValueError, match="not Q-Face's metadata"):
        load_checkpoint(foreign)


@pytest.mark.parametrize(
    "change",
    [
        {"head": "pooled", "tasks": ("age", "landmarks")},
        {"extensions": (("parsing_lapa",), ("race_utkface",))},
        {"fusion_block": False, "final_norm": False, "stages": (3,)},
    ],
)
def test_every_shape_of_network_is_read_back_as_it_was(tmp_path: Path, change: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIGS["qface_test"], **change)
    model = build_model(config).eval()
    round_to_half(model)
    contract = make_contract(model.tasks, input_size=64)
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, Checkpoint(model=model, contract=contract, card={}))
    loaded = load_checkpoint(path)
    assert type(loaded.model) is type(model)
    assert loaded.model.config == config
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        before, after = model(pixels).logits, loaded.model(pixels).logits
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_configuration_from_before_there_were_more_fields_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new.safetensors"
    laterals = QFaceConfig.mask_laterals
    config = dataclasses.replace(CONFIGS["qface_tiny"], tasks=QFACE_TASKS, mask_laterals=laterals)
    save_checkpoint(path, random_checkpoint(config, seed=0))

    def change(metadata: dict, _: dict) -> None:
        old = json.loads(metadata["config"])
        for field in ("head", "fusion_block", "final_norm", "mask_width", "mask_laterals", "extensions"):
            del old[field]
        metadata["config"] = json.dumps(old)

    loaded = load_checkpoint(changed(path, tmp_path / "old.safetensors", change))
    options = config.encoder_options
    listed = {"channels": list(options["channels"])}  # JSON knows no tuples
    assert loaded.model.config == dataclasses.replace(config, encoder_options=listed)


def test_what_a_vit_had_behind_its_last_stage_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "vit.safetensors"
    save_checkpoint(path, random_checkpoint(CONFIGS["qface_test"], seed=0))

    def change(_: dict, tensors: dict) -> None:
        tensors["encoder.model.norm.weight"] = torch.ones(96)
        tensors["encoder.model.norm.bias"] = torch.zeros(96)

    load_checkpoint(changed(path, tmp_path / "old.safetensors", change))


def test_a_full_disk_leaves_what_was_there(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"the last one")

    def full(tensors: object, file: str, metadata: object) -> None:
        Path(file).write_bytes(b"half")
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(ValueError, match=r"can't be written .*No space left.*what was there stays") as caught:
        save_checkpoint(path, load_checkpoint(whole))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"the last one"
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_checkpoint_has_the_rights_of_any_new_file(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    assert whole.stat().st_mode == (tmp_path / "other").stat().st_mode
