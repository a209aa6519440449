"""The report on groups names the worst one, how far it lies behind, and fails on a gap that is too large."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.contract import make_contract
from training.data.prepared.face_set import FaceSet
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.evaluation.fairness import __main__ as command
from training.evaluation.fairness.measure import Answered, measured_groups
from training.evaluation.fairness.report import Limit, TaskGroups, as_markdown, exceeded
from training.evaluation.metric_accumulator import Bootstrap
from training.evaluation.predictors import Predictions, Predictor
from training.tasks import CATALOGUE

SIZE = 16
COUNT = 120
EXPRESSIONS, RACES = CATALOGUE["expression"].labels, CATALOGUE["race"].labels
HAPPINESS = EXPRESSIONS.index("happiness")


def number_of(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.asarray(np.rint(pixels[:, 0, 0, 0] / 2), np.int64)


def is_wrong(number: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of every second face, a man's, each third; of women one in fifteen."""
    return np.where(number % 2 == 0, number % 3 == 0, number % 30 == 1)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Men and women, of whom half smile; a few of one race, many of another."""
    side = SIZE + 2 * margin_of(SIZE)
    made = [
        Face(
            key=f"{i}.png",
            pixels=np.full((side, side, 3), 2 * i, np.uint8),
            split="test",
            labels={
                "gender": CATALOGUE["gender"].labels[i % 2],
                "race": RACES[0 if i < 5 else 1],
                "attributes": {"Smiling": float(i % 4 < 2)},
            },
        )
        for i in range(COUNT)
    ]
    folder = tmp_path_factory.mktemp("fairness") / "people"
    write_set(folder, made, size=SIZE)
    return FaceSet(folder, split="test")


def answer(pixels: NDArray[np.uint8]) -> Predictions:
    """Gender, wrong for some; everybody is happy but the men who don't smile."""
    number = number_of(pixels)
    gender = np.eye(2)[(number + is_wrong(number)) % 2]
    happy = ~((number % 2 == 0) & (number % 4 >= 2))
    return {"gender": gender, "expression": np.eye(7)[np.where(happy, HAPPINESS, (HAPPINESS + 1) % 7)]}


NETWORK = Predictor(
    name="network",
    predict=answer,
    tasks=make_contract([CATALOGUE["gender"], CATALOGUE["expression"]], input_size=SIZE).tasks,
    input_size=SIZE,
    contract="",
)


@pytest.fixture(scope="module")
def measured(faces: FaceSet) -> list[TaskGroups]:
    return measured_groups(
        NETWORK,
        [faces],
        ["gender", "race"],
        photos={},
        bootstrap=Bootstrap(draws=100, seed=0),
        smallest=20,
        answered=[Answered.parse("expression.happiness:attributes.Smiling")],
    )


def of(measured: list[TaskGroups], title: str, by: str) -> TaskGroups:
    (found,) = [one for one in measured if one.title == title and one.main.by == by]
    return found


def test_the_worst_group_stands_first_and_its_gap_has_an_interval(measured: list[TaskGroups]) -> None:
    gender = of(measured, "top1_accuracy", "gender")
    assert [(group.label, group.faces) for group in gender.main.groups] == [("male", 60), ("female", 60)]
    wrong = is_wrong(np.arange(COUNT))
    men, women = (1 - wrong[k::2].mean() for k in (0, 1))
    assert [group.estimate.value for group in gender.main.groups] == pytest.approx([men, women])
    gap = gender.main.gap
    assert gap is not None
    assert gap.value == pytest.approx(women - men)
    assert 0 < gap.low < gap.value < gap.high
    assert 0 < gender.main.by_chance < gap.value
    assert measured[0].main.gap is not None  # what is furthest beyond chance comes first
    assert measured[0].main.gap.value / measured[0].main.by_chance >= gap.value / gender.main.by_chance


def test_groups_of_few_faces_are_listed_and_decide_nothing(measured: list[TaskGroups]) -> None:
    race = of(measured, "top1_accuracy", "race")
    assert {group.label: group.decides for group in race.main.groups} == {RACES[0]: False, RACES[1]: True}
    assert race.main.gap is None
    assert "| 5 (too few) |" in as_markdown(measured, name="network", smallest=20)
    with pytest.raises(ValueError, match=r"age.ccc was measured on no two groups .* gender.top1_accuracy"):
        exceeded(measured, [Limit.parse("age.ccc=0.1")], certain=False)


def test_an_answer_is_compared_where_people_state_another_thing_and_where_not(
    measured: list[TaskGroups],
) -> None:
    smiling = of(measured, "happiness answered where Smiling", "gender")
    assert [group.estimate.value for group in smiling.main.groups] == [1, 1]
    serious = of(measured, "happiness answered where not Smiling", "gender")
    worst, best = serious.main.worst_and_best
    assert (worst.label, worst.estimate.value, best.label, best.estimate.value) == ("female", 1, "male", 0)
    (sentence,) = exceeded(measured, [Limit.parse("expression.wrongly_answered/happiness=0.2")], certain=True)
    assert sentence == (
        "expression on people: happiness answered where not Smiling is 100.00 % for female and 0.00 % for "
        "male (by gender), a gap of 100.00 [100.00, 100.00] %, above 20.00 %"
    )


def test_a_gap_is_certain_where_its_whole_interval_is(measured: list[TaskGroups]) -> None:
    gap = of(measured, "top1_accuracy", "gender").main.gap
    assert gap is not None
    between = Limit(task="gender", metric="top1_accuracy", gap=(gap.low + gap.value) / 2)
    assert len(exceeded(measured, [between], certain=False)) == 1
    assert exceeded(measured, [between], certain=True) == []


def test_the_command_ends_with_1_and_names_the_gap(
    faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_predictor", lambda *_, **__: NETWORK)
    words = [
        "network",
        "--data",
        str(faces.folder.parent),
        "--bootstrap",
        "20",
        "--json",
        str(tmp_path / "f"),
    ]
    assert command.main([*words, "--fail-above", "gender.top1_accuracy=0.9"]) == 0
    capsys.readouterr()
    assert command.main([*words, "--fail-above", "gender.top1_accuracy=0.1"]) == 1
    assert "gender on people: top1_accuracy is 66.67 % for male and 93.33 % for female" in (
        capsys.readouterr().err
    )
    content = json.loads((tmp_path / "f").read_text())
    assert len(content["exceeded"]) == 1
    assert {row["by"] for row in content["rows"]} == {"gender", "race"}
    for wrong, sentence in (
        (["--fail-above", "gender=0.1"], "give TASK.METRIC=GAP"),
        (["--fail-above", "gender.top1_accuracy=much"], "give TASK.METRIC=GAP"),
        (["--answered", "expression.joy:gender.male"], "give TASK.LABEL:TASK.LABEL"),
        (["--groups", "head_pose"], "head_pose puts no face into a group"),
        (["--certain", "--bootstrap", "0"], "--certain needs intervals"),
        (["--groups", "age_group"], "has human labels of age_group"),
        (["--seed", "-1"], "--seed -1 can't be one"),
        (
            ["--smallest", "999", "--fail-above", "gender.top1_accuracy=0.1"],
            "groups of enough faces: measure more faces, or take a lower --smallest",
        ),
    ):
        assert command.main([*words, *wrong]) == 2
        assert sentence in capsys.readouterr().err
    assert command.main([*words, "--sets", ",people", "--answered", "expression.happiness:race.White"]) == 0
    assert "--answered" not in capsys.readouterr().err
    assert command.main([*words, "--answered", "expression.happiness:attributes.Bald"]) == 0
    assert "--answered expression.happiness:attributes.Bald was measured on no set" in capsys.readouterr().err
