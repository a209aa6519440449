"""Each task is also measured on the faces that people labelled alike, and on no other groups."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.contract import make_contract
from training.data.prepared.face_set import FaceSet
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.evaluation.evaluate import evaluate, main
from training.evaluation.predictors import Predictions, Predictor
from training.evaluation.report import as_markdown, result_as_json
from training.evaluation.results import TaskResult
from training.evaluation.subgroups import check_subgroup_tasks, subgroupings
from training.tasks import CATALOGUE

SIZE = 16
SIDE = SIZE + 2 * margin_of(SIZE)
COUNT = 60
ENTRIES = make_contract([CATALOGUE["expression"], CATALOGUE["age"]], input_size=SIZE).tasks
BINS = ([3, 9], [20, 29], [60, 69])


def make(folder: Path, *, by: str = "human") -> FaceSet:
    """Faces whose brightness says who they are: three bins of age, two genders, and somebody smiles."""
    expressions = CATALOGUE["expression"].labels
    faces = [
        Face(
            key=f"{i}.png",
            pixels=np.full((SIDE, SIDE, 3), 4 * i, np.uint8),
            split="test",
            person=f"p{i // 2}",
            labels={"age": BINS[i % 3], "expression": expressions[i % 7]}
            | ({"gender": CATALOGUE["gender"].labels[i % 2]} if i < 40 else {}),
        )
        for i in range(COUNT)
    ]
    write_set(folder, faces, size=SIZE, labelled_by=by)
    return FaceSet(folder, split="test")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    return make(tmp_path_factory.mktemp("groups") / "people")


def answer(pixels: NDArray[np.uint8]) -> Predictions:
    """Right about the expression of women, wrong about men's; 25 years for everybody."""
    number = np.rint(pixels[:, 0, 0, 0] / 4).astype(int)
    expression = np.eye(7)[np.where(number % 2 == 1, number % 7, (number + 1) % 7)]
    return {"expression": expression, "age": np.full((len(pixels), 1), 25.0)}


@pytest.fixture(scope="module")
def rows(faces: FaceSet) -> dict[str, TaskResult]:
    comparison = Predictor(
        name="other",
        predict=lambda pixels: {"expression": np.eye(7)[np.zeros(len(pixels), int)]},
        tasks=(ENTRIES[0],),
        input_size=SIZE,
        contract="",
    )
    names = ["gender", "race", "age_group", "age"]
    found = evaluate(
        answer, ENTRIES, [faces], input_size=SIZE, bootstrap=50, comparison=comparison, subgroups=names
    )
    return {row.task: row for row in found}


def test_a_group_is_measured_on_its_own_faces(rows: dict[str, TaskResult]) -> None:
    groups = {(group.by, group.label): group for group in rows["expression"].subgroups}
    male, female = (groups["gender", label] for label in CATALOGUE["gender"].labels)
    assert (male.faces, female.faces) == (20, 20)  # of forty people know it
    assert (male.persons, female.persons) == (20, 20)
    assert (male.value.value, female.value.value) == (0, 1)
    assert female.value.low == female.value.high == 1
    assert male.comparison is not None
    assert male.comparison.value == pytest.approx(np.mean([i % 7 == 0 for i in range(0, 40, 2)]))
    whole = rows["expression"].values["top1_accuracy"].value
    assert whole == pytest.approx(0.5)


def test_ages_are_grouped_by_the_groups_of_the_catalogue_and_by_the_set_s_own_bins(
    rows: dict[str, TaskResult],
) -> None:
    found = {(group.by, group.label): group for group in rows["age"].subgroups}
    assert {label for by, label in found if by == "age_group"} == {"0-9", "20-29", "60-69"}
    assert {label for by, label in found if by == "age"} == {"3-9", "20-29", "60-69"}
    for by in ("age_group", "age"):
        assert found[by, "20-29"].faces == COUNT / 3
        assert (found[by, "20-29"].value.value, found[by, "60-69"].value.value) == (1, 0)
        assert found[by, "20-29"].comparison is None  # the other network answers no age
    assert not any(by == "race" for by, _ in found)


def test_groups_stand_in_the_tables(rows: dict[str, TaskResult]) -> None:
    table = as_markdown(list(rows.values()), comparison="other")
    label = CATALOGUE["gender"].labels[1]
    cells = ("expression", "people", "gender", label, "20 of 20 persons", "top1_accuracy")
    assert f"| {' | '.join(cells)} | 100.00 [100.00, 100.00] % |" in table
    (said,) = [group for group in result_as_json(rows["expression"])["groups"] if group["label"] == label]
    assert (said["by"], said["faces"], said["value"]) == ("gender", 20, [1.0, 1.0, 1.0])
    json.dumps(result_as_json(rows["age"]), allow_nan=False)


def test_positives_are_counted_label_by_label(rows: dict[str, TaskResult]) -> None:
    labels = CATALOGUE["expression"].labels
    assert dict(rows["expression"].positives) == {
        label: sum(i % 7 == k for i in range(COUNT)) for k, label in enumerate(labels)
    }
    assert not rows["age"].positives
    assert f"| {labels[0]} | 9 | f1 |" in as_markdown([rows["expression"]])


def test_what_no_person_labelled_makes_no_groups(tmp_path: Path) -> None:
    faces = make(tmp_path / "taught", by="a teacher")
    assert subgroupings(faces, ["gender", "age_group", "age"]) == []
    (row, *_) = evaluate(answer, ENTRIES, [faces], input_size=SIZE, bootstrap=0, subgroups=["gender"])
    assert row.subgroups == ()


def test_a_bin_that_reaches_over_two_groups_is_in_none(tmp_path: Path) -> None:
    labels = ([15, 24], [25, 25], [18, 21], [20, 28])
    made = [
        Face(
            key=str(i), pixels=np.zeros((SIDE, SIDE, 3), np.uint8), split="test", labels={"age": list(years)}
        )
        for i, years in enumerate(labels)
    ]
    write_set(tmp_path / "ages", made, size=SIZE)
    (found,) = subgroupings(FaceSet(tmp_path / "ages", split="test"), ["age_group"])
    twenties = found.labels.index("20-29")
    assert found.subgroup_of.tolist() == [-1, twenties, -1, twenties]
    (exact,) = subgroupings(FaceSet(tmp_path / "ages", split="test"), ["age"])
    assert [exact.labels[i] if i >= 0 else "" for i in exact.subgroup_of] == ["15-24", "", "18-21", "20-28"]


def test_groups_that_can_t_be_made_are_told(faces: FaceSet, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="landmarks puts no face into a group: choose from"):
        check_subgroup_tasks(["gender", "landmarks"])
    assert main(["none.onnx", "--data", str(faces.folder.parent), "--groups", "tallness"]) == 2
    assert "unknown task tallness" in capsys.readouterr().err
