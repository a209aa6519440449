"""What a run will do, and all that is wrong with it, before its first step: `--dry-run`."""

import dataclasses
import pathlib
import re
from collections import namedtuple
from typing import Any

import pytest

from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.small_run import TASKS, small_run
from training.data.sampling.balance import Balance
from training.models import CONFIGS, QFaceConfig, save_checkpoint
from training.tasks import select
from training.train import extend, finetune, plan, pretrain
from training.train.objectives.distillation import Distillation
from training.train.random_initialisation import random_checkpoint
from training.train.recipes import RECIPES
from training.train.run_config import Run, Source


def faults(run: Run, *, data: pathlib.Path, folder: pathlib.Path) -> list[str]:
    """What `check` tells, a fault an entry."""
    with pytest.raises(ValueError) as told:  # noqa: PT011 - the sentences are what is looked at
        plan.check(run, tasks=select(run.model.all_tasks), data=data, folder=folder, built=False)
    first, *more = str(told.value).splitlines()
    return [line.removeprefix("  - ") for line in more] or [first]


def test_all_faults_are_told_at_once(small_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run = small_run(
        model=dataclasses.replace(CONFIGS["qface_test"], tasks=("age", "race")),
        sources=(
            Source(name="made", batch=4, balance=(Balance(task="expression"),)),
            Source(name="absent", batch=4),
        ),
        init=str(tmp_path / "no.safetensors"),
        distillation=Distillation(path=str(tmp_path / "teacher")),
    )
    absent, race, balance, init, teacher = faults(run, data=small_data, folder=tmp_path)
    assert absent == (
        f"{small_data} has no prepared set absent: make it with `python -m training.data prepare`, "
        "or take what is there with --sets made"
    )
    assert race == (
        "no face of made is labelled for task 'race': add a set that is, or leave it out with "
        "--set model.tasks=age"
    )
    assert balance == (
        "made can't be balanced by expression, of which it has no labels: set sources.made.balance=none"
    )
    assert init == f"init {tmp_path / 'no.safetensors'} is no file: give random, imagenet or a checkpoint"
    assert "distillation=none" in teacher
    # As they are mended.
    plan.check(
        small_run(model=dataclasses.replace(CONFIGS["qface_test"], tasks=("age",))),
        tasks=select(["age"]),
        data=small_data,
        folder=tmp_path,
        built=False,
    )


def test_a_set_of_other_labels_and_a_full_disk_are_told(
    small_data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run(
        model=dataclasses.replace(CONFIGS["qface_test"], tasks=("landmarks",)),
        sources=(Source(name="made", batch=4), Source(name="pointed", batch=4)),
    )
    make_set(tmp_path / "pointed", count=2, tasks=["landmarks"])
    (tmp_path / "made").symlink_to(small_data / "made")
    (needless,) = faults(run, data=tmp_path, folder=tmp_path)
    assert needless == (
        "made has no label of the run's tasks (it has action_units, age, gender): leave it out with --sets"
    )
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("training.train.plan.shutil.disk_usage", lambda _: usage(2**30, 2**30, 2**20))
    (room,) = faults(small_run(), data=small_data, folder=tmp_path / "new" / "run")
    assert re.search(r"run has 0\.00 GiB left and the run's state takes 0\.0[1-9]: make room", room)


def test_a_task_whose_labels_follow_from_others_is_labelled(small_data: pathlib.Path) -> None:
    group = dataclasses.replace(CONFIGS["qface_test"], tasks=("age_group",))
    run = small_run(model=group)
    plan.check(run, tasks=select(["age_group"]), data=small_data, folder=small_data, built=False)


def dry(command: Any, *words: object) -> int:
    status: int = command.main([*map(str, words), "--dry-run", "--threads", "1"])
    return status


@pytest.fixture
def quick_recipe(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(RECIPES, "small", lambda: small_run(steps=600, warmup_steps=5))
    return "small"


def test_a_dry_run_says_what_would_be_done_and_takes_and_leaves_nothing(
    small_data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], quick_recipe: str
) -> None:
    assert dry(finetune, quick_recipe, "--data", small_data, "--run", tmp_path / "new" / "run") == 0
    said = capsys.readouterr().out
    assert "600 steps, 2,400 faces; learning rate 0.001 after 5 steps of warm-up, fp32" in said
    assert "set made: 12 faces, 4 a step, 200.0 passes" in said
    for task in TASKS:
        assert re.search(rf"task {task}: \w+, weight 1, from made", said)
    assert re.search(r"time: \d+\.\d\d s a step, the median of 10 \(CPU, 1 threads\), so .*min\n", said)
    assert re.search(r"memory: \d+\.\d GiB a process; disk: 0\.\d\d GiB in ", said)
    assert not (tmp_path / "new").exists()


def test_a_dry_run_of_what_can_t_be_trained_says_why(
    small_data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], quick_recipe: str
) -> None:
    words = ["--data", small_data, "--run", tmp_path / "run", "--sets", "made,absent"]
    assert dry(finetune, quick_recipe, *words) == 2
    assert "take what is there with --sets made" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert (
        dry(finetune, quick_recipe, "--data", small_data, "--run", tmp_path / "file", "--sets", "made,") == 2
    )
    assert "file is a file: choose another --run folder" in capsys.readouterr().err
    for threads in ("0", "-1", "1000000"):
        words = [quick_recipe, "--data", str(small_data), "--run", str(tmp_path), "--threads", threads]
        assert finetune.main(words) == 2
        assert f"--threads {threads}: take 1 to" in capsys.readouterr().err


def test_the_other_commands_that_train_plan_too(
    small_data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", small_data, "--run", tmp_path / "run", "--set", "bf16=false", "--set", "workers=0"]
    config = dataclasses.replace(CONFIGS["qface_test"], tasks=("expression",))
    assert isinstance(config, QFaceConfig)
    save_checkpoint(tmp_path / "base.safetensors", random_checkpoint(config, seed=0))
    assert dry(extend, tmp_path / "base.safetensors", "--task", "age", *common) == 0
    said = capsys.readouterr().out
    assert "150 steps" in said
    assert "task age" in said
    assert "task expression" not in said
    words = ["qface_test", "--sets", "made", *common]
    assert dry(pretrain, *words) == 2
    assert (
        "a batch of 256 is larger than all 12 faces of made: set batch=1 or less" in capsys.readouterr().err
    )
    assert dry(pretrain, *words, "--set", "batch=4") == 0
    assert "30 steps of 4 faces, 10.0 passes" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
