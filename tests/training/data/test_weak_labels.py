"""Weak labels: what a label of another task implies, where nothing better is known."""

import dataclasses
import pathlib

import numpy as np
import pytest
import torch

from tests.helpers.faces.synthetic_sets import make_set
from training.data.derived_labels import imply
from training.data.prepared.face_set import FaceSet
from training.kinds import kind_of
from training.task_type import Implication
from training.tasks import CATALOGUE
from training.train.objectives.task_loss import loss_sum

EXPRESSION, UNITS = CATALOGUE["expression"], CATALOGUE["action_units"]
HAPPINESS, AU12 = EXPRESSION.labels.index("happiness"), UNITS.labels.index("AU12")


@pytest.fixture
def faces(tmp_path: pathlib.Path) -> FaceSet:
    make_set(tmp_path / "made", count=4, tasks=["attributes"])
    faces = FaceSet(tmp_path / "made")
    faces.columns["attributes"] = faces.columns["attributes"].copy()
    smiling = CATALOGUE["attributes"].labels.index("Smiling")
    faces.columns["attributes"][:, smiling] = [1, 0, np.nan, 1]
    return faces


def test_a_smile_implies_happiness_and_its_absence_anything_else(faces: FaceSet) -> None:
    imply(faces, ["expression"], confidence=0.5)
    rows = faces.columns["expression"]
    assert rows[0].tolist() == [float(i == HAPPINESS) for i in range(7)]
    assert rows[1].tolist() == [float(i != HAPPINESS) for i in range(7)]
    assert np.isnan(rows[2]).all()
    assert (faces.confidence["expression"] == 0.5).all()


def test_of_independent_labels_only_the_implied_ones_are_known(faces: FaceSet) -> None:
    imply(faces, ["action_units"], confidence=0.5)
    assert faces.columns["action_units"][:, AU12].tolist()[:2] == [1.0, 0.0]
    assert np.isnan(faces.columns["action_units"][:, UNITS.labels.index("AU5")]).all()


def test_what_is_known_already_stays(faces: FaceSet) -> None:
    own = np.full((4, len(UNITS.labels)), np.nan, np.float32)
    own[0, AU12] = 0.25
    faces.columns["action_units"], faces.confidence["action_units"] = own, np.ones(4, np.float32)
    imply(faces, ["action_units"], confidence=0.5)
    assert faces.columns["action_units"][:2, AU12].tolist() == [0.25, 0.0]
    assert faces.confidence["action_units"].tolist() == [1.0, 0.5, 0.5, 0.5]


def test_a_set_without_the_other_task_stays_as_it_is(tmp_path: pathlib.Path) -> None:
    make_set(tmp_path / "other", count=2, tasks=["age"])
    other = FaceSet(tmp_path / "other")
    imply(other, ["expression", "action_units"], confidence=0.5)
    assert set(other.columns) == {"age"}


def test_one_of_several_classes_costs_minus_the_logarithm_of_all_of_them() -> None:
    logits = torch.zeros(1, 7, requires_grad=True)
    others = torch.tensor([[float(i != HAPPINESS) for i in range(7)]])
    loss = loss_sum(EXPRESSION, logits, others)
    assert float(loss.detach()) == pytest.approx(-np.log(6 / 7), rel=1e-5)
    loss.backward()
    # Happiness is pushed down, all others up alike: nothing is said of which it is.
    assert logits.grad is not None
    assert float(logits.grad[0, HAPPINESS]) > 0
    rest = [float(logits.grad[0, i]) for i in range(7) if i != HAPPINESS]
    assert max(rest) < 0
    assert max(rest) == pytest.approx(min(rest))


def test_a_task_refuses_implied_labels_that_it_does_not_have_and_a_kind_that_has_none() -> None:
    with pytest.raises(ValueError, match="implied_by refers to labels that it does not have"):
        dataclasses.replace(
            EXPRESSION, implied_by=(Implication(task="attributes", label="Smiling", labels=("joy",)),)
        )
    age = CATALOGUE["age"]
    with pytest.raises(ValueError, match="has no labels that others imply"):
        kind_of(age).implied(age, np.ones(1, bool), known=np.ones(1, bool), labels=("years",))
