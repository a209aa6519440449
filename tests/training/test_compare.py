"""`python -m training.compare`: what is better by more than chance, and what is not."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.small_run import small_run
from training import compare
from training.contract import make_contract
from training.data.prepared.face_set import FaceSet
from training.evaluation.predictors import Predictions, Predictor
from training.models import save_checkpoint
from training.tasks import select
from training.train.loop.distributed import Distributed
from training.train.random_initialisation import random_checkpoint
from training.train.trainer import Trainer

TASKS = ("gender", "age")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    make_set(folder / "made", count=4, test=120, tasks=TASKS)
    return folder


def answering(faces: FaceSet, *, years_off: NDArray[np.float64], name: str) -> Predictor:
    """A network that knows the genders, and each age but for so many years [N]; faces come in order."""
    known = 0

    def predict(pixels: NDArray[np.uint8]) -> Predictions:
        nonlocal known
        rows = slice(known, known + len(pixels))
        known += len(pixels)
        ages = faces.columns["age"][rows].mean(axis=1) + years_off[rows]
        return {"age": ages[:, None].astype(np.float32), "gender": faces.columns["gender"][rows]}

    contract = make_contract(select(TASKS), input_size=64)
    return Predictor(name=name, predict=predict, tasks=contract.tasks, input_size=64, contract="")


def test_a_difference_is_told_from_chance_by_pairs(data: Path) -> None:
    faces = FaceSet(data / "made", split="test")
    noise = np.abs(np.random.default_rng(0).normal(0, 8, len(faces)))

    def age(before: NDArray[np.float64], after: NDArray[np.float64]) -> compare.Difference:
        networks = (answering(faces, years_off=off, name=f"{off[0]}") for off in (before, after))
        found = {one.task: one for one in compare.compare(*networks, [faces])}
        assert found["gender"].difference.value == 0
        assert found["gender"].verdict == compare.ALIKE
        return found["age"]

    better = age(noise + 0.3, noise)
    assert better.difference.value == pytest.approx(-0.3, abs=1e-3)
    # Each figure alone is not known to 0.3 years: the same faces make both errors.
    assert better.difference.low == pytest.approx(-0.3, abs=0.01)
    assert better.verdict == compare.BETTER
    assert age(noise, noise + 0.3).verdict == compare.WORSE
    assert age(noise, np.random.default_rng(1).permutation(noise)).verdict == compare.ALIKE


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    config = dataclasses.replace(small_run().model, tasks=TASKS)
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for seed, path in enumerate(paths):
        save_checkpoint(path, random_checkpoint(config, seed=seed))
    return paths


def test_the_command_writes_the_table(
    data: Path, two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--markdown", str(tmp_path / "t.md"), "--json", str(tmp_path / "t.json")]
    words = [*map(str, two), "--data", str(data), "--bootstrap", "50", "--limit", "40", *files]
    assert compare.main(words) == 0
    table = (tmp_path / "t.md").read_text()
    assert table.strip() in capsys.readouterr().out
    rows = json.loads((tmp_path / "t.json").read_text())["rows"]
    assert {row["task"]: row["faces"] for row in rows} == {"gender": 40, "age": 40}
    for row in rows:
        value, low, high = row["difference"]
        assert low <= value <= high
        assert value == pytest.approx(row["second"] - row["first"], abs=1e-5)
    assert compare.main([*words, "--all-metrics"]) == 0
    assert len((tmp_path / "t.md").read_text().splitlines()) > len(table.splitlines())


def test_of_two_runs_the_settings_that_differ_are_told(
    small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: Distributed
) -> None:
    for name, rate in (("before", 1e-3), ("after", 2e-3)):
        trainer = Trainer(
            small_run(learning_rate=rate).with_tasks(TASKS),
            data=small_data,
            folder=tmp_path / name,
            where=where,
        )
        trainer.train()
        trainer.finish()
    words = [
        str(tmp_path / "before"),
        str(tmp_path / "after"),
        "--data",
        str(small_data),
        "--bootstrap",
        "0",
    ]
    assert compare.main(words) == 0
    said = capsys.readouterr().out
    assert f"run.learning_rate is 0.001 in {tmp_path / 'before'}, 0.002 in {tmp_path / 'after'}" in said
    (tmp_path / "after" / "model.safetensors").unlink()
    assert compare.main(words) == 2
    assert "has no model.safetensors: a run leaves it at its end" in capsys.readouterr().err


def test_what_can_not_be_compared_is_said(
    data: Path, two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_set(tmp_path / "other" / "looks", count=2, test=2, tasks=["head_pose"])
    assert compare.main([*map(str, two), "--data", str(tmp_path / "other")]) == 2
    assert "share no task that looks labels" in capsys.readouterr().err
    assert compare.main([*map(str, two), "--data", str(data), "--limit", "0"]) == 2
    assert "--limit must be 1 or more" in capsys.readouterr().err
