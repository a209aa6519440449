"""Gradients by task and samples with predictions: what is seen of a run changes nothing of it."""

import dataclasses
import json
import math
import pathlib
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.faces.synthetic_sets import make_set
from tests.helpers.small_run import SMALL, TASKS, small_run
from training.data.prepared.face_set import FaceSet
from training.kinds import kind_of, kinds
from training.tasks import CATALOGUE, select
from training.train.loop.distributed import Distributed
from training.train.objectives.multi_task import MultiTaskObjective
from training.train.run_config import Run
from training.train.trainer import Trainer


def _trained(run: Run, *, data: pathlib.Path, folder: pathlib.Path, where: Distributed) -> Trainer:
    trainer = Trainer(run, data=data, folder=folder, where=where)
    trainer.train()
    return trainer


def _lines(folder: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


def test_a_run_that_is_watched_learns_the_same_bit_by_bit(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    """Of a network with batch normalisation and stochastic depth, itself and no average of it looked at."""
    run = small_run(model=dataclasses.replace(SMALL, drop_path=0.2), steps=3, accumulate=2)
    watched = dataclasses.replace(run, samples_every=1, gradients_every=2)
    unwatched = dataclasses.replace(run, samples_every=0, gradients_every=0, progress_every=100)
    one = _trained(watched, data=small_data, folder=tmp_path / "watched", where=where)
    other = _trained(unwatched, data=small_data, folder=tmp_path / "unwatched", where=where)
    weights, others = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    pictures = sorted((tmp_path / "watched" / "samples").iterdir())
    assert [path.name for path in pictures] == ["000001.png", "000002.png", "000003.png"]
    assert not np.array_equal(cv2.imread(str(pictures[0])), cv2.imread(str(pictures[2])))
    assert not (tmp_path / "unwatched" / "samples").exists()
    first, second, third = _lines(tmp_path / "watched")
    assert second["gradient_norms"].keys() == set(TASKS)
    assert not {"gradient_norms"} & (first.keys() | third.keys())
    assert 0 < first["gradient_norm"] <= first["largest_gradient_norm"]


def test_gradients_by_task_are_those_at_what_the_tasks_share(
    small_data: pathlib.Path, where: Distributed, tmp_path: pathlib.Path
) -> None:
    run = small_run(weights={"age": 3.0}, steps=1, gradients_every=1)
    trainer = Trainer(run, data=small_data, folder=tmp_path / "whole", where=where)
    batch = {name: torch.from_numpy(value) for name, value in trainer.loop.data[0].items()}
    objective = trainer.loop.objective
    assert isinstance(objective, MultiTaskObjective)
    objective.train()
    torch.manual_seed(0)
    output = trainer.model(batch["pixels"])
    sums = objective._sums(output, batch)
    counts = objective.counts(batch)
    assert output.shared is not None
    (slope,) = torch.autograd.grad(3 * sums["age"] / counts["age"], output.shared)
    result = trainer.loop.train_step(batch)
    assert result.pulls["age"] == pytest.approx(float(slope.norm()), rel=1e-4)
    # The parts of a step add up.
    parts = dataclasses.replace(run, accumulate=2)
    split = Trainer(parts, data=small_data, folder=tmp_path / "parts", where=where).loop.train_step(batch)
    assert split.pulls == pytest.approx(result.pulls, rel=1e-3)
    assert split.gradient == pytest.approx(result.gradient, rel=1e-3)
    assert math.isfinite(result.gradient)


def test_samples_are_of_faces_that_the_run_holds_out(where: Distributed, tmp_path: pathlib.Path) -> None:
    make_set(tmp_path / "made", count=40, tasks=TASKS)
    run = small_run(holdout_fraction=0.3, samples_every=2)
    samples = Trainer(run, data=tmp_path, folder=tmp_path / "run", where=where)._samples()
    assert samples is not None
    held_out = FaceSet(tmp_path / "made", holdout_fraction=0.3, held_out=True)
    crops = held_out.served_crops(np.arange(len(held_out)), size=64)
    assert 0 < len(samples.faces) <= 8
    for face in samples.faces:
        assert face.title == "made, held out"
        assert any(np.array_equal(face.crop, crop) for crop in crops)
    too_short = dataclasses.replace(run, samples_every=3)
    assert Trainer(too_short, data=tmp_path, folder=tmp_path / "run", where=where)._samples() is None


def test_every_kind_shows_a_label_and_nothing_where_none_is_known(tmp_path: pathlib.Path) -> None:
    tasks = {task.kind: task for task in CATALOGUE.values() if task.kind in kinds()}
    assert tasks.keys() == kinds().keys()
    names = [task.name for task in tasks.values()]
    make_set(tmp_path / "made", count=2, tasks=names)
    faces = FaceSet(tmp_path / "made")
    make_set(tmp_path / "other", count=2, tasks=["expression"])
    without = FaceSet(tmp_path / "other")
    for task in select(names):
        kind, picture = kind_of(task), np.full((64, 64, 3), 90, np.uint8)
        rows = kind.label_rows(task, faces, np.arange(2), size=64)
        assert rows is not None
        before = picture.copy()
        caption = kind.caption(task, rows[0])
        kind.draw(task, picture, rows[0])
        assert caption or not np.array_equal(picture, before), task.name
        unknown = np.full_like(rows[0], 255 if rows.dtype == np.uint8 else np.nan)
        picture = before.copy()
        kind.draw(task, picture, unknown)
        assert np.array_equal(picture, before), task.name
        assert kind.caption(task, unknown) == "", task.name
        labelled = kind.label_rows(task, without, np.arange(2), size=64) is not None
        assert labelled == (task.name == "expression")


@pytest.mark.parametrize(
    ("name", "row", "text"),
    [
        ("gender", [0.1, 0.9], "female 90%"),
        ("gender", [0.0, 1.0], "female"),
        ("age", [20, 29], "20-29 years"),
        ("age", [31.26, 31.26], "31.3 years"),
        ("head_pose", [-12.4, 3, 0], "yaw -12°, pitch 3°, roll 0°"),
    ],
)
def test_labels_and_answers_are_written_in_a_few_words(name: str, row: list[float], text: str) -> None:
    task = CATALOGUE[name]
    if name == "gender":
        row = row if task.labels[1] == "female" else row[::-1]
    assert kind_of(task).caption(task, np.array(row, np.float32)) == text


def test_a_label_that_is_one_of_several_and_a_long_list_are_cut() -> None:
    expression, attributes = CATALOGUE["expression"], CATALOGUE["attributes"]
    weak = np.array([1, 1, 0, 0, 0, 0, 0], np.float32)
    assert kind_of(expression).caption(expression, weak) == ", ".join(expression.labels[:2])
    every = np.ones(len(attributes.labels), np.float32)
    assert kind_of(attributes).caption(attributes, every).endswith(f"and {len(every) - 4} more")
    assert kind_of(attributes).caption(attributes, every * 0) == "none"
