"""Sets drawn in balance: what is rare comes round more often, and nothing else changes."""

import pathlib

import numpy as np
import pytest

from tests.helpers.faces.synthetic_sets import made_face, make_set
from training.data.prepared.face_set import FaceSet
from training.data.prepared.writer import write_set
from training.data.sampling.balance import Balance, draw_weights, weighted_pass
from training.tasks import CATALOGUE

RARE = 4


@pytest.fixture
def faces(tmp_path: pathlib.Path) -> FaceSet:
    """36 neutral faces, four afraid."""
    task = CATALOGUE["expression"]
    made = [made_face(i, [], size=64, seed=0) for i in range(40)]
    for i, face in enumerate(made):
        face.labels[task.name] = "fear" if i < RARE else "neutral"
    write_set(tmp_path / "made", made, size=64, title="Made", licence="CC0", options={})
    faces = FaceSet(tmp_path / "made")
    faces.columns["expression"] = faces.columns["expression"].copy()
    return faces


@pytest.mark.parametrize(("power", "times"), [(1.0, 9.0), (0.5, 3.0)])
def test_a_face_is_drawn_by_a_power_of_how_rare_its_class_is(
    faces: FaceSet, power: float, times: float
) -> None:
    weights = draw_weights(faces, [Balance(task="expression", power=power)])
    assert weights[0] / weights[-1] == pytest.approx(times)
    assert weights.mean() == pytest.approx(1)


def test_no_face_is_drawn_so_often_that_it_is_learned_by_heart(faces: FaceSet) -> None:
    column = faces.columns["expression"]
    column[:] = column[-1]
    column[0] = np.roll(column[-1], 1)
    weights = draw_weights(faces, [Balance(task="expression", power=1.0)])
    assert weights.max() / weights[-1] < 39


def test_a_face_without_the_label_comes_round_as_the_average_does(faces: FaceSet) -> None:
    faces.columns["expression"][10] = np.nan
    weights = draw_weights(faces, [Balance(task="expression")])
    assert weights[10] == pytest.approx(1.0, abs=0.05)


def test_of_two_balances_each_counts(faces: FaceSet) -> None:
    ages = np.full((len(faces), 2), 33, np.float32)
    ages[-2:] = 75
    faces.columns["age"] = ages
    both = draw_weights(faces, [Balance(task="expression"), Balance(task="age")])
    assert both[0] / both[10] == pytest.approx(3.0)
    assert both[-1] / both[10] == pytest.approx(19**0.5)


def test_ages_are_balanced_by_ranges(faces: FaceSet) -> None:
    ages = np.full((len(faces), 2), 33, np.float32)
    ages[:2] = [70, 79]
    ages[2] = np.nan
    faces.columns["age"] = ages
    weights = draw_weights(faces, [Balance(task="age")])
    assert weights[0] == weights[1] > 3 * weights[-1]


def test_a_pass_has_as_many_faces_each_about_as_often_as_it_weighs() -> None:
    weights = np.array([0.5] * 90 + [5.5] * 10)
    drawn = weighted_pass(np.arange(100), weights, rng=np.random.default_rng(3))
    often = np.bincount(drawn, minlength=100)
    assert len(drawn) == 100
    assert set(often[90:].tolist()) <= {5, 6}
    assert set(often[:90].tolist()) <= {0, 1}
    assert (np.diff(drawn) != 0).mean() > 0.8  # shuffled


def test_what_cannot_balance_a_set_is_refused(faces: FaceSet, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"made can't be balanced by gender: it has no such labels"):
        draw_weights(faces, [Balance(task="gender")])
    make_set(tmp_path / "points", count=2, tasks=["landmarks"])
    with pytest.raises(ValueError, match="make no strata"):
        draw_weights(FaceSet(tmp_path / "points"), [Balance(task="landmarks")])
    with pytest.raises(ValueError, match="which no task is called"):
        Balance(task="mood")
    with pytest.raises(ValueError, match="above 0"):
        Balance(task="age", power=0)
