"""Which faces are in doubt, why, and in which order; how answers are counted."""

import dataclasses
import math

import pytest

from qface_client.cli.report.doubts import Ranked, doubts
from qface_client.contract import Contract, QualityRule, TaskSpec
from qface_client.kinds import KINDS
from qface_client.kinds._distributions import Histogram, Numbers
from qface_client.results import Face

MOOD = TaskSpec(name="mood", kind="classes", labels=("glad", "sad", "calm"), unit="probability")
LABELS = ("scar", "mole", "beard", "hat")
MARKS = TaskSpec(name="marks", kind="multilabel", labels=LABELS, unit="probability", threshold=0.4)
AGE = TaskSpec(name="age", kind="value", labels=("years",), unit="years")


def face(*, side: float = 200, score: float = 0.95, **answers: object) -> Face:
    tasks = {task.name: task for task in (MOOD, MARKS, AGE)}
    contract = Contract(hash="h", input_size=128, tasks=(MOOD, MARKS, AGE))
    parsed = {name: KINDS[tasks[name].kind].parse(data, tasks[name]) for name, data in answers.items()}
    return Face(box=(0, 0, side, side / 2), score=score, landmarks5=None, answers=parsed, contract=contract)


def mood(glad: float, sad: float, calm: float) -> dict[str, object]:
    shares = {"glad": glad, "sad": sad, "calm": calm}
    return {"label": max(shares, key=lambda label: shares[label]), "probabilities": shares}


def found(one: Face) -> list[tuple[float, str]]:
    return [(round(doubt.score, 2), doubt.reason) for doubt in doubts(one, one.contract)]


def test_two_labels_that_are_close_are_doubted_in_words() -> None:
    assert found(face(mood=mood(0.35, 0.45, 0.2))) == [(0.9, "mood: sad 45% or glad 35%")]


def test_labels_near_their_threshold_are_doubted_by_how_many_and_how_near() -> None:
    marks = {"scar": 0.45, "mole": 0.01, "beard": 0.99, "hat": 0.9}
    assert found(face(marks=marks)) == [(0.5, "marks: near the threshold of 40% lie scar 45%")]
    assert found(face(marks={**marks, "mole": 0.4}))[0][0] == 1.0
    assert found(face(marks=dict.fromkeys(marks, 0.99))) == []


def test_a_low_score_and_a_small_face_are_doubted_and_the_strongest_reason_is_first() -> None:
    assert found(face(side=48, score=0.6)) == [
        (0.75, "perhaps no face: the detector's score is 0.60"),
        (0.25, "a small face: 48 pixels, where the network looks at 128"),
    ]


def test_a_number_says_nothing_of_its_doubt() -> None:
    assert found(face(age={"years": 30.0})) == []


def test_a_face_of_low_quality_is_doubted_for_that_and_not_by_its_threshold() -> None:
    rated = TaskSpec(name="rated", kind="multilabel", labels=("usable",), unit="probability")
    rule = QualityRule(task="rated", label="usable", minimum=0.1)
    contract = Contract(hash="h", input_size=128, tasks=(rated,), quality=rule)
    for quality, doubt in ((0.5, [0.5]), (0.25, [0.75]), (0.7, [])):
        answers = {"rated": KINDS["multilabel"].parse({"usable": quality}, rated)}
        one = dataclasses.replace(face(), answers=answers, contract=contract)
        assert [score for score, _ in found(one)] == doubt


@pytest.mark.parametrize("most", [1, 3, 100])
def test_the_highest_scores_are_kept_and_of_equal_ones_the_earlier(most: int) -> None:
    ranked, scores = Ranked[int](most), [0.5, 0.9, 0.5, 0.1, 0.9, 0.7]
    for index, score in enumerate(scores):
        if ranked.wants(score):
            ranked.take(score, index)
    assert list(ranked) == sorted(range(6), key=lambda index: (-scores[index], index))[:most]


@pytest.mark.parametrize(
    "values", [[3.0], [-40.0, 40.0], [0.51, 0.512], [1e6, 1e6 + 1], [0.0] * 5, [-0.1, 1e5], list(range(200))]
)
def test_a_histogram_counts_each_number_once_between_few_round_edges(values: list[float]) -> None:
    numbers = Numbers(name="n", unit="u")
    for value in [*values, math.nan, math.inf]:
        numbers.add(value)
    (chart,) = numbers.charts()
    assert isinstance(chart, Histogram)
    assert sum(chart.counts) == len(values)
    assert len(chart.edges) == len(chart.counts) + 1 <= 26
    assert list(chart.edges) == sorted(set(chart.edges))


def test_of_no_number_there_is_no_histogram() -> None:
    assert Numbers(name="n", unit="u").charts() == ()
