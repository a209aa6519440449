"""Masked image modelling as a run: what a step draws, exact resume, and the encoder that it leaves."""

import dataclasses
import pathlib

import numpy as np
import pytest
import torch
from torch.distributed.run import parse_args

from training.data.prepared.face_set import FaceSet
from training.data.prepared.shard import Face
from training.data.prepared.writer import write_set
from training.data.sampling.unlabelled_batches import Cropping, UnlabelledBatches, random_crop
from training.models import CONFIGS, build_model
from training.models.pretrained_encoder import load_encoder
from training.train import pretrain as command
from training.train.loop.distributed import Distributed
from training.train.loop.training_loop import TrainingLoop
from training.train.pretrain import Pretraining, pretrain

ALONE = Distributed(rank=0, world=1, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two sets of faces without labels, of 9 and 4."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name, count in (("many", 9), ("few", 4)):
        faces = [
            Face(key=f"{i}.png", pixels=rng.integers(0, 256, (78, 78, 3), dtype=np.uint8), split="train")
            for i in range(count)
        ]
        write_set(root / name, faces, size=64)
    return root


def _run(**changes: object) -> Pretraining:
    run = Pretraining(
        model=CONFIGS["qface_test"],
        sets=("many", "few"),
        epochs=4,
        warmup_epochs=1,
        batch=6,
        width=32,
        heads=2,
        workers=0,
        checkpoint_every=3,
        progress_every=2,
        bf16=False,
    )
    return dataclasses.replace(run, **changes)


def _batches(data: pathlib.Path, *, rank: int = 0, world: int = 1) -> UnlabelledBatches:
    sets = [FaceSet(data / name, split="train") for name in ("many", "few")]
    return UnlabelledBatches(
        sets, batch=6, steps=8, input_size=64, patches=64, cropping=Cropping(), seed=1, rank=rank, world=world
    )


def test_a_pass_draws_every_face_of_every_set_once(data: pathlib.Path) -> None:
    batches = _batches(data)
    drawn = [name for step in range(13) for name in batches.names(step)]
    for number in range(6):
        assert len(set(drawn[number * 13 : (number + 1) * 13])) == 13
    assert drawn[:13] != drawn[13:26]


def test_two_processes_share_what_one_would_draw(data: pathlib.Path) -> None:
    alone = _batches(data)[3]
    for rank in (0, 1):
        shared = _batches(data, rank=rank, world=2)[3]
        for name, values in shared.items():
            np.testing.assert_array_equal(values, alone[name][rank::2])
    assert sorted(alone["order"][0]) == list(range(64))
    assert not np.array_equal(alone["order"][0], alone["order"][1])


def test_the_whole_crop_is_what_the_server_would_feed_and_parts_are_magnified() -> None:
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    whole = Cropping(smallest=1, stretch=1, mirrored=0)
    np.testing.assert_array_equal(
        random_crop(stored, margin=2, size=16, rng=rng, cropping=whole), stored[2:18, 2:18]
    )
    mirrored = random_crop(
        stored, margin=2, size=16, rng=rng, cropping=dataclasses.replace(whole, mirrored=1)
    )
    np.testing.assert_array_equal(mirrored, stored[2:18, 2:18][:, ::-1])
    ramp = np.repeat(np.arange(20, dtype=np.uint8)[None, :, None] * 10, 20, axis=0).repeat(3, axis=2)
    part = random_crop(
        ramp, margin=2, size=16, rng=rng, cropping=Cropping(smallest=0.25, stretch=1, mirrored=0)
    )
    slopes = np.diff(part[8, :, 0].astype(float))
    assert 4 < slopes.mean() < 10
    assert slopes.min() > 0


def test_a_run_that_was_killed_ends_as_an_unbroken_one_and_leaves_its_encoder(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    torch.set_num_threads(1)
    unbroken = pretrain(_run(), data=data, folder=tmp_path / "unbroken", where=ALONE)
    assert unbroken.step == 4 * 13 // 6

    class Killed(Exception):
        pass

    def train_step(self: TrainingLoop, batch: object) -> object:
        if self.step == 5:
            raise Killed
        return trains(self, batch)

    trains = TrainingLoop.train_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingLoop, "train_step", train_step)
        with pytest.raises(Killed):
            pretrain(_run(), data=data, folder=tmp_path / "killed", where=ALONE)
    resumed = pretrain(_run(), data=data, folder=tmp_path / "killed", where=ALONE)
    for (name, a), b in zip(
        unbroken.objective.state_dict().items(), resumed.objective.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name

    model = build_model(CONFIGS["qface_test"])
    load_encoder(model, tmp_path / "killed" / "encoder.safetensors")
    trained = resumed.objective.state_dict()
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(tensor, trained[f"autoencoder.encoder.{name}"]), name


def test_a_run_on_other_faces_of_the_same_number_is_not_gone_on_with(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = _run(sets=("few",), batch=4, epochs=1, warmup_epochs=0)
    pretrain(run, data=data, folder=tmp_path / "run", where=ALONE)
    black = [Face(key=f"{i}.png", pixels=np.zeros((78, 78, 3), np.uint8), split="train") for i in range(4)]
    write_set(tmp_path / "few", black, size=64)
    with pytest.raises(ValueError, match=r"data.few is .*4 faces, "):
        pretrain(run, data=tmp_path, folder=tmp_path / "run", where=ALONE)


def test_the_paper_s_schedule_follows_from_the_defaults() -> None:
    optimisation = Pretraining(model=CONFIGS["qface_base"], sets=("glint360k",)).optimisation(17_000_000)
    assert optimisation.steps == 80 * 17_000_000 // 2048
    assert optimisation.warmup_steps == 5 * 17_000_000 // 2048
    assert (optimisation.learning_rate, optimisation.end_learning_rate) == (1e-3, 1e-6)
    assert optimisation.weight_decay == 0.05


def test_three_quarters_of_the_patches_are_hidden() -> None:
    objective = _run().build_objective()
    assert (objective.patches, objective.visible) == (64, 16)


def test_torchrun_passes_its_words_on(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    words = ["--data", str(data), "--sets", "many,few", "--output", str(tmp_path / "run")]
    small = [f"--set={field}" for field in ("batch=6", "width=32", "heads=2", "epochs=1", "warmup_epochs=0")]
    given = parse_args(["-m", "training.train.pretrain", "qface_test", *words, *small, "--set=workers=0"])
    threads = torch.get_num_threads()
    try:
        assert command.main([*given.training_script_args, "--device", "cpu", "--threads", "1"]) == 0
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / "run" / "encoder.safetensors").exists()


def test_an_encoder_that_is_no_q_face_s_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(["facexformer", "--data", "none", "--sets", "few", "--run", "none"])
    assert refused.value.code == 2
    assert "choose from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sets", "none"], "has no prepared set none"),
        (["--sets", "few,few"], "none twice"),
        (["--sets", "few", "--set", "mask_ratio=1"], "mask_ratio"),
        (["--sets", "few", "--set", "batch=7"], "larger than all 4 faces"),
        (["--sets", "few", "--set", "batch=2", "--set", "patch=16"], "8 pixels wide"),
        (["--sets", "few", "--set", "batches=2"], "batches"),
    ],
)
def test_what_can_not_be_run_ends_in_one_sentence(
    data: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    folders = ["--data", str(data), "--run", str(tmp_path / "run")]
    assert command.main(["qface_test", *folders, *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
