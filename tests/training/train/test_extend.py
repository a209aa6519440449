"""`python -m training.train.extend`: the new task is learned, the old answers and their contract stay."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.old_answers import assert_same
from training.contract import LAPLACE, make_contract, with_errors
from training.data.prepared.face_set import FaceSet
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.data.sampling.augmentation import NO_AUGMENTATION, Augmentation
from training.models import CONFIGS, Checkpoint, ExportWrapper, QFaceConfig, load_checkpoint, save_checkpoint
from training.models.qface.extension import extended
from training.tasks import CATALOGUE, FACE_QUALITY
from training.train import extend
from training.train.objectives.loss_weighting import build_loss_weighting
from training.train.objectives.multi_task import MultiTaskObjective
from training.train.random_initialisation import random_checkpoint

SIZE = CONFIGS["qface_test"].input_size
NEW = CATALOGUE["race"]
# A colour for each class: what a test can learn within seconds.
COLOURS = np.array(
    [
        [30, 30, 30],
        [220, 40, 40],
        [40, 220, 40],
        [40, 40, 220],
        [220, 220, 40],
        [40, 220, 220],
        [225, 225, 225],
    ]
)


def coloured(i: int, *, split: str) -> Face:
    side = SIZE + 2 * margin_of(SIZE)
    label = i % len(NEW.labels)
    noise = np.random.default_rng(i).normal(0, 12, (side, side, 3))
    pixels = np.clip(COLOURS[label] + noise, 0, 255).astype(np.uint8)
    return Face(key=f"{split}{i}", pixels=pixels, split=split, labels={NEW.name: NEW.labels[label]})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    faces = [coloured(i, split="train") for i in range(70)] + [coloured(i, split="test") for i in range(28)]
    write_set(folder / "colours", faces, size=SIZE, title="Colours", licence="CC0")
    ages = [Face(key=f"{i}", pixels=faces[i].pixels, labels={"age": [i, i]}) for i in range(4)]
    write_set(folder / "ages", ages, size=SIZE, title="Ages", licence="CC0")
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It never saw the new task, serves 11 of its 12 action units, and tells how far a pose may be off."""
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    tasks = ("expression", "action_units", "head_pose")
    config = dataclasses.replace(CONFIGS["qface_test"], tasks=tasks, errors=("head_pose",))
    made = random_checkpoint(config, seed=3)
    labels = {task.name: [label for label in task.labels if label != "AU9"] for task in made.model.tasks}
    contract = make_contract(made.model.tasks, input_size=SIZE, trained=labels)
    contract = with_errors(contract, {"head_pose": LAPLACE}, tasks=made.model.tasks)
    card = {"run": "base", "sources": [{"name": "somewhere"}]}
    save_checkpoint(path, Checkpoint(model=made.model, contract=contract, card=card))
    return path


def arguments(base: Path, data: Path, run: Path, *more: str) -> list[str]:
    said = ["steps=120", "warmup_steps=10", "learning_rate=3e-3", "ema_decay=0.9", "workers=0", "bf16=false"]
    settings = [word for setting in said for word in ("--set", setting)]
    return [str(base), "--data", str(data), "--run", str(run), "--threads", "1", *settings, *more]


@pytest.fixture(scope="module")
def run(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    assert (
        extend.main(arguments(base, data, folder, "--task", "race", "--set", "sources.colours.batch=28")) == 0
    )
    return folder


def test_the_new_task_is_learned_and_old_answers_stay_the_same(base: Path, data: Path, run: Path) -> None:
    old, new = load_checkpoint(base), load_checkpoint(run / "model.safetensors")
    faces = FaceSet(data / "colours", split="test")
    pixels = torch.from_numpy(faces.served_crops(range(len(faces)), size=SIZE))
    with torch.no_grad():
        before = ExportWrapper(old.model, old.contract)(pixels)
        after = ExportWrapper(new.model, new.contract)(pixels)
    assert list(after) == [*before, "race"]
    assert_same(before, after)
    right = after["race"].argmax(1).numpy() == faces.columns["race"].argmax(1)
    assert right.mean() > 0.9


def test_the_contract_keeps_what_was_served_and_the_card_says_what_was_added(base: Path, run: Path) -> None:
    old, new = load_checkpoint(base), load_checkpoint(run / "model.safetensors")
    *kept, added = new.contract.tasks
    assert kept == list(old.contract.tasks)
    assert (added.name, added.served_by_default) == ("race", False)
    assert new.contract.hash != old.contract.hash
    assert new.card["sources"] == [{"name": "somewhere"}]
    (card,) = new.card["extensions"]
    assert card["run"] == "base + race"
    assert [source["name"] for source in card["sources"]] == ["colours"]  # the set of ages has no such label
    assert card["init"].startswith("base.safetensors, sha256 ")


def test_an_extended_model_is_extended_again(base: Path, data: Path, run: Path, tmp_path: Path) -> None:
    first = run / "model.safetensors"
    assert extend.main(arguments(first, data, tmp_path, "--task", "age", "--set", "steps=12")) == 0
    old, new = load_checkpoint(first), load_checkpoint(tmp_path / "model.safetensors")
    assert new.model.config.extensions == (("race",), ("age",))
    assert [card["run"] for card in new.card["extensions"]] == ["base + race", "base + age"]
    pixels = torch.randint(0, 256, (3, SIZE, SIZE, 3), dtype=torch.uint8)
    with torch.no_grad():
        before, after = old.model(pixels).logits, new.model(pixels).logits
    assert_same(before, after)


def test_a_finished_run_is_not_gone_on_with_for_another_old_model(
    base: Path, data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_checkpoint(base)
    other = tmp_path / "base.safetensors"
    save_checkpoint(other, Checkpoint(model=loaded.model, contract=loaded.contract, card={"run": "base"}))
    more = ("--task", "race", "--set", "sources.colours.batch=28")
    assert extend.main(arguments(other, data, run, *more)) == 2
    assert "belongs to a run with other settings" in capsys.readouterr().err


def test_a_model_whose_answers_would_change_is_not_extended(
    base: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_checkpoint(base)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.mul_(1.0003)  # no longer what fp16 can hold
    fine = Checkpoint(model=loaded.model, contract=loaded.contract, card=loaded.card, weights="fp32")
    save_checkpoint(tmp_path / "fine.safetensors", fine)
    more = ("--task", "race", "--set", "steps=2", "--set", "warmup_steps=1")
    assert extend.main(arguments(tmp_path / "fine.safetensors", data, tmp_path / "run", *more)) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "changed its answers of expression" in said
    assert "rounded to fp16" in said
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--task", "head_pose"], "answers head_pose already"),
        (["--task", "mood"], "unknown task mood"),
        (["--task", "mood", "--output", "var/as-torchrun-wants-it"], "unknown task mood"),
        (["--task", "parsing"], "has training faces labelled for parsing"),
        (["--task", "race", "--sets", "ages"], "no face of ages is labelled for task 'race'"),
        (["--task", "race", "--sets", "nothing"], "nothing"),
        (["--task", "race", "--set", "model.width=32"], "shape of an old model can't change"),
        (["--task", ","], "names no task"),
    ],
)
def test_what_can_not_be_done_is_told_in_one_line(
    base: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    assert extend.main(arguments(base, data, tmp_path, *more)) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.startswith("training.train.extend: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "model.safetensors").exists()


def test_the_progress_tells_of_the_new_task_alone(run: Path) -> None:
    last = json.loads((run / "progress.jsonl").read_text().splitlines()[-1])
    assert "race" in json.dumps(last)
    assert "expression" not in json.dumps(last)


def _config() -> QFaceConfig:
    config = CONFIGS["qface_test"].with_tasks(["age"])
    assert isinstance(config, QFaceConfig)
    return config


def test_labels_of_the_very_pixels_are_learned_from_pixels_that_nothing_changes(base: Path) -> None:
    loaded = load_checkpoint(base)

    def augmentation(task: str) -> Augmentation:
        config = dataclasses.replace(_config(), extensions=((task,),))
        return extend.extension_run(
            loaded, checkpoint=base, config=config, sets=["made"], faces=70
        ).augmentation

    usual = Augmentation()
    assert augmentation("race") == usual
    assert augmentation(FACE_QUALITY) == dataclasses.replace(NO_AUGMENTATION, mirror=usual.mirror)


def test_faces_that_were_held_out_stay_so(base: Path) -> None:
    loaded = load_checkpoint(base)
    config = dataclasses.replace(_config(), extensions=(("race",),))
    base_held_out = dataclasses.replace(loaded, card={**loaded.card, "aside": 0.04})
    run = extend.extension_run(base_held_out, checkpoint=base, config=config, sets=["made"], faces=70)
    assert run.holdout_fraction == 0.04


@pytest.mark.parametrize(("faces", "steps"), [(4, 150), (300, 187), (40_000, 1500)])
def test_few_faces_are_learned_in_few_steps(base: Path, faces: int, steps: int) -> None:
    config = dataclasses.replace(_config(), extensions=(("race",),))
    run = extend.extension_run(
        load_checkpoint(base), checkpoint=base, config=config, sets=["made"], faces=faces
    )
    assert (run.steps, run.warmup_steps) == (steps, min(100, steps // 10))


def test_a_step_of_an_extension_computes_no_masks_and_no_gradient_of_what_is_frozen() -> None:
    config = CONFIGS["qface_test"].with_tasks(["age", "parsing"])
    network = extended(random_checkpoint(config, seed=0).model, [FACE_QUALITY])
    objective = MultiTaskObjective(
        network,
        tasks=[CATALOGUE[FACE_QUALITY]],
        losses={},
        weighting=build_loss_weighting("fixed", losses=[FACE_QUALITY], weights={}),
    )
    seen: list[int] = []
    decoder = network.decoder.pixel_decoder
    assert decoder is not None
    decoder.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    batch = {
        "pixels": torch.zeros((3, SIZE, SIZE, 3), dtype=torch.uint8),
        FACE_QUALITY: torch.ones(3, 1),
        f"{FACE_QUALITY}/confidence": torch.ones(3),
    }
    objective(batch, objective.counts(batch), 1.0)[0].backward()
    assert seen == [0]
    learning = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learning == {f"extensions.0.{name}" for name in ("queries", "query_positions", "weight", "bias")}
