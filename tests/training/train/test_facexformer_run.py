"""FaceXFormer learns by the same trainer: its schedule, its derived labels, its losses, its crop."""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.mean_loss import task_loss
from training.data.derived_labels import derive
from training.data.prepared.face_set import FaceSet
from training.data.sampling.augmentation import NO_AUGMENTATION, augment_pixels
from training.kinds import kinds
from training.models import FaceXFormer, FaceXFormerConfig, load_checkpoint
from training.tasks import CATALOGUE, FACEXFORMER_TASKS
from training.train.loop.distributed import distributed
from training.train.loop.optimisation import Optimisation
from training.train.objectives.task_loss import loss_sum
from training.train.overrides import overridden
from training.train.recipes import run_named
from training.train.run_config import Run, Source
from training.train.trainer import Trainer

SMALL = FaceXFormerConfig(
    name="small",
    input_size=64,
    encoder_options={"embed_dim": 32, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8)},
    width=32,
    heads=4,
    hidden=32,
    blocks=1,
    crop="aligned",
)
TAUGHT = tuple(name for name in FACEXFORMER_TASKS if name != "age_group")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """So small a network's threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("run")
    make_set(root / "made", count=48, test=4, tasks=TAUGHT)
    return root


def _run(**changes: object) -> Run:
    published = run_named("facexformer")
    fields: dict[str, object] = {
        "model": SMALL,
        "sources": (Source(name="made", batch=8),),
        "init": "random",
        "steps": 10,
        "learning_rate": 2e-3,
        "augmentation": NO_AUGMENTATION,
        "workers": 0,
        "bf16": False,
        "trackers": (),
    }
    return dataclasses.replace(published, **{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["facexformer", "facexformer_v3"])
def test_what_holds_300_w_s_test_photos_takes_part_without_them(name: str) -> None:
    parts = {source.name: source.subset for source in run_named(name).sources}
    assert parts["lapa"] == "megaface"
    assert parts["300w_lp"] == "afw"
    assert "300w" in parts  # whose test split the end of the run is judged by


def test_a_small_one_learns_every_task_and_leaves_a_checkpoint(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with distributed("cpu") as where:
        trainer = Trainer(_run(), data=data, folder=tmp_path, where=where)
        assert isinstance(trainer.model, FaceXFormer)
        before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        batch = {name: torch.from_numpy(np.array(value)) for name, value in trainer.loop.data[0].items()}
        assert not batch["age_group"].isnan().any()
        weights = trainer.run.weights

        def total() -> float:
            with torch.no_grad():
                raw = trainer.model.eval()(batch["pixels"]).logits
            return sum(
                weights.get(task.name, 1.0) * float(task_loss(task, raw[task.name], batch[task.name]))
                for task in trainer.tasks
            )

        first = total()
        trainer.train()
        assert total() < first
        trainer.finish()
    moved = {
        name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])
    }
    heads = {name.split(".")[1] for name in moved if name.startswith("heads.")}
    assert heads == {"landmarks", "head_pose", "attributes", "visibility", "age", "gender", "race"}
    assert {name.split(".")[0] for name in moved} >= {"encoder", "fuse", "tokens", "upscale", "mask_head"}
    made = load_checkpoint(tmp_path / "model.safetensors")
    assert isinstance(made.model, FaceXFormer)
    assert made.contract.names == FACEXFORMER_TASKS
    assert "crop" not in made.contract.to_json()  # aligned, as the prepared faces are
    assert made.card["kept_out"]["age_group on made"]["faces"] == 4


def test_a_network_for_other_crops_is_not_taught_with_aligned_ones(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    boxed = dataclasses.replace(SMALL, crop="box")
    with (
        distributed("cpu") as where,
        pytest.raises(ValueError, match=r"cut as 'box'.* set model\.crop=aligned"),
    ):
        Trainer(_run(model=boxed), data=data, folder=tmp_path, where=where)


def test_the_rate_falls_to_a_tenth_at_each_milestone() -> None:
    published = run_named("facexformer")
    assert (published.epochs, published.learning_rate, published.weight_decay) == (12, 1e-4, 1e-5)
    optimisation = Optimisation(steps=120, learning_rate=1e-4, milestones=published.milestones)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    schedule = optimisation.build_schedule(optimizer)
    rates = []
    for step in range(120):
        schedule.step_update(step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-4] * 60 + [1e-5] * 40 + [1e-6] * 20)
    for wrong in ((0.8, 0.5), (0.5, 1.0), (0.0,)):
        with pytest.raises(ValueError, match="milestones"):
            Optimisation(steps=120, learning_rate=1e-4, milestones=wrong)


def test_age_groups_follow_from_ages_and_from_bins() -> None:
    ages = np.array(
        [[0, 0], [9, 9], [69, 69], [93, 93], [20, 29], [25, 32], [70, 100], [np.nan] * 2], np.float32
    )
    groups = kinds()["value"].derived(CATALOGUE["age"], ages, task=CATALOGUE["age_group"], label="")
    assert groups.shape == (8, len(CATALOGUE["age_group"].labels))
    assert groups[:4].argmax(axis=1).tolist() == [0, 0, 6, 7]
    assert groups[4, 2] == 1
    np.testing.assert_allclose(groups[5], [0, 0, 5 / 8, 3 / 8, 0, 0, 0, 0], atol=1e-6)
    assert groups[6, 7] == 1
    assert np.isnan(groups[7]).all()
    np.testing.assert_allclose(groups[:7].sum(axis=1), 1, atol=1e-6)


def test_only_what_is_asked_for_is_derived(data: pathlib.Path) -> None:
    faces = FaceSet(data / "made")
    derive(faces, ["age", "gender"])
    assert "age_group" not in faces.columns
    derive(faces, ["age_group"])
    assert faces.columns["age_group"].shape == (48, 8)


def test_masks_may_be_learned_by_cross_entropy_alone() -> None:
    task = CATALOGUE["parsing_lapa"]
    raw, target = torch.randn(2, 11, 4, 4), torch.randint(0, 11, (2, 8, 8), dtype=torch.uint8)
    target[0, :4] = 255
    logits = torch.nn.functional.interpolate(raw, scale_factor=2.0, mode="bilinear")
    by_hand = [
        torch.nn.functional.cross_entropy(logits[i : i + 1], target[i : i + 1].long(), ignore_index=255)
        for i in range(2)
    ]
    assert float(loss_sum(task, raw, target, loss="pixel_cross_entropy")) == pytest.approx(
        float(sum(by_hand))
    )
    assert loss_sum(task, raw, target) > loss_sum(task, raw, target, loss="pixel_cross_entropy")


def test_a_changed_gamma_brightens_or_darkens() -> None:
    picture = np.full((16, 16, 3), 100, np.uint8)
    always = dataclasses.replace(NO_AUGMENTATION, gamma=1.0)
    means = [
        augment_pixels(picture, rng=np.random.default_rng(seed), augmentation=always)[0].mean()
        for seed in range(20)
    ]
    assert min(means) < 90
    assert max(means) > 110


def test_settings_reach_the_fields_of_the_configuration_that_is_there() -> None:
    run = overridden(run_named("facexformer"), ["model.hidden=64", "model.crop=box", "milestones=0.5"])
    assert isinstance(run.model, FaceXFormerConfig)
    assert (run.model.hidden, run.model.crop, run.milestones) == (64, "box", (0.5,))
    with pytest.raises(ValueError, match=r"model\.stages: there is no such field"):
        overridden(run_named("facexformer"), ["model.stages=1"])
    with pytest.raises(ValueError, match="no head for expression"):
        overridden(run_named("facexformer"), ["model.tasks=age,expression"])
