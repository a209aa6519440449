"""An evaluation finds what the predictions are worth on each set, part and face."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.faces.labelled_sets import COUNT, ENTRIES, SIZE, knowing
from training.contract import make_contract
from training.data.prepared.face_set import FaceSet
from training.evaluation.evaluate import (
    Predictions,
    TaskResult,
    evaluate,
)
from training.evaluation.report import as_markdown, result_as_json
from training.tasks import CATALOGUE


@pytest.fixture(scope="module")
def rows(data: Path) -> dict[str, TaskResult]:
    sets = [FaceSet(data / "people", split="test")]
    training = [FaceSet(data / "people", split="train")]
    found = evaluate(
        knowing(sets, wrong=0.2), ENTRIES, sets, input_size=SIZE, training=training, bootstrap=200
    )
    return {row.task: row for row in found}


def test_a_row_says_what_was_measured_on_whom_and_by_whose_labels(rows: dict[str, TaskResult]) -> None:
    assert set(rows) == {"action_units", "age", "gender", "head_pose"}  # nobody has an expression's label
    for row in rows.values():
        assert (row.set, row.subset, row.faces, row.persons) == ("people", "", COUNT, COUNT // 4)
        assert row.labelled_by == "a teacher"
        main = row.values[row.metric]
        assert row.metric == CATALOGUE[row.task].metric
        assert main.low <= main.value <= main.high


def test_values_are_those_of_the_answers(rows: dict[str, TaskResult]) -> None:
    assert rows["age"].values["mean_absolute_error"].value == pytest.approx(3)
    assert rows["head_pose"].values["euler_mean_absolute_error"].value == pytest.approx(0, abs=1e-4)
    wrong = np.random.default_rng(5).random(COUNT) < 0.2
    assert rows["gender"].values["top1_accuracy"].value == pytest.approx(1 - wrong.mean())
    # Labels that nobody is known to have or not to have are not among the metrics' means.
    named = {name for name, found in rows["action_units"].values.items() if not np.isnan(found.value)}
    assert {name for name in named if "/" in name} == {"f1/AU1", "f1/AU12"}


def test_a_trivial_answer_is_learned_from_the_training_split(data: Path, rows: dict[str, TaskResult]) -> None:
    train, test = (FaceSet(data / "people", split=split) for split in ("train", "test"))
    ages = test.columns["age"][:, 0]
    median = np.median(train.columns["age"][:, 0])
    assert median != np.median(ages)
    expected = float(np.abs(ages - median).mean())
    assert rows["age"].constant_baseline["mean_absolute_error"] == pytest.approx(expected, rel=1e-5)
    common = train.columns["gender"].mean(axis=0).argmax()
    assert rows["gender"].constant_baseline["top1_accuracy"] == pytest.approx(
        test.columns["gender"][:, common].mean()
    )
    # Saying yes to everybody has the F1 2p / (1 + p).
    share = test.columns["action_units"][:, CATALOGUE["action_units"].labels.index("AU12")].mean()
    assert rows["action_units"].constant_baseline["f1/AU12"] == pytest.approx(2 * share / (1 + share))


def test_what_is_no_better_than_always_the_same_answer_is_told(
    data: Path, rows: dict[str, TaskResult]
) -> None:
    assert rows["age"].beats_baseline
    assert rows["gender"].beats_baseline
    sets = [FaceSet(data / "people", split="test")]
    guess = knowing(sets, wrong=0.5)
    (row,) = evaluate(guess, [e for e in ENTRIES if e.name == "gender"], sets, input_size=SIZE)
    assert not row.beats_baseline
    assert "| no |" in as_markdown([row])


def test_named_parts_of_a_set_have_rows_of_their_own(data: Path) -> None:
    tasks = make_contract([CATALOGUE["landmarks"], CATALOGUE["parsing"]], input_size=SIZE).tasks
    faces = FaceSet(data / "parts", split="test")
    rng = np.random.default_rng(3)

    def answer(crops: NDArray[np.uint8]) -> Predictions:
        indices = (crops[:, SIZE // 2, SIZE // 2, 0].astype(int) - 20) // 2
        points = faces.columns["landmarks"][indices] * SIZE - 0.5
        away = np.where(indices % 4 == 0, 0.0, 2.0)[:, None, None]
        masks = faces.served_masks("parsing", indices, size=SIZE)
        noise = rng.integers(0, 19, masks.shape, dtype=np.uint8)
        return {"landmarks": points + away, "parsing": np.where(noise < 5, noise, masks)}

    rows = evaluate(answer, tasks, [faces], input_size=SIZE, bootstrap=20)
    found = {(row.task, row.subset): row for row in rows}
    assert {part for task, part in found if task == "landmarks"} == {"", "common", "challenge", "make-up"}
    assert [found["landmarks", part].faces for part in ("", "common", "challenge", "make-up")] == [
        24,
        6,
        12,
        6,
    ]
    assert found["landmarks", "common"].values["normalized_mean_error"].value == pytest.approx(0, abs=1e-5)
    assert found["landmarks", "challenge"].values["box_normalized_error"].value > 0.05
    assert found["parsing", ""].beats_baseline
    assert "parts (common)" in as_markdown(rows)


def test_a_limit_takes_faces_from_all_over_the_set(data: Path) -> None:
    sets = [FaceSet(data / "people", split="test")]
    seen: list[int] = []
    answer = knowing(sets)

    def watched(crops: NDArray[np.uint8]) -> Predictions:
        seen.extend(((crops[:, 0, 0, 0].astype(int) - 20) // 2).tolist())
        return answer(crops)

    (row, *_) = evaluate(watched, ENTRIES, sets, input_size=SIZE, limit=8, bootstrap=0)
    assert row.faces == 8
    assert seen == list(range(0, COUNT, COUNT // 8))
    assert np.isnan(row.values[row.metric].low)
    assert result_as_json(row)["values"][row.metric][1] is None
    assert row.beats_baseline is None


def test_thresholds_are_fitted_on_other_faces(data: Path) -> None:
    train, test = ([FaceSet(data / "people", split=split)] for split in ("train", "test"))

    def answer(crops: NDArray[np.uint8]) -> Predictions:
        return {"action_units": np.tile(crops[:, :1, 0, 0] / 1000, (1, 12))}  # all below one half

    entries = [entry for entry in ENTRIES if entry.name == "action_units"]
    (row,) = evaluate(answer, entries, test, input_size=SIZE, bootstrap=20, validation=train)
    assert row.values["mean_f1"].value == 0
    assert row.values["mean_f1_fitted"].value > 0.3
    (row,) = evaluate(answer, entries, test, input_size=SIZE, bootstrap=20)
    assert "mean_f1_fitted" not in row.values


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda said: said.pop("age"), "does not answer age, which its contract promises"),
        (
            lambda said: said.update(age=said["age"][:, 0]),
            r"age is answered in the shape \[32\] and not \[32, 1\]",
        ),
        (
            lambda said: said["gender"].__setitem__((5, 0), np.nan),
            "gender about test/5.png of people is not finite",
        ),
    ],
)
def test_answers_that_are_none_stop_the_evaluation_and_name_the_face(
    data: Path, change: Any, sentence: str
) -> None:
    sets = [FaceSet(data / "people", split="test")]
    right = knowing(sets)

    def answer(crops: NDArray[np.uint8]) -> Predictions:
        said = right(crops)
        change(said)
        return said

    with pytest.raises(ValueError, match=sentence):
        evaluate(answer, ENTRIES, sets, input_size=SIZE, bootstrap=0)
