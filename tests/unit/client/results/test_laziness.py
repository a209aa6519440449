"""What is not read of an answer is not made: no label's name is looked up, no mask decompressed."""

import collections
from typing import Any

import numpy as np
import pytest

from qface_client import Classification, Mask, MultiLabel, Points
from qface_client.kinds import classes, mask, multilabel
from qface_client.reading import read_photo
from tests.helpers.random_answers import CONTRACT, task_of, tensors_of

FACES = 100


class Counted(np.ndarray[Any, Any]):
    """A tensor whose rows count how often they are made a list."""

    lists = 0

    def tolist(self) -> Any:
        Counted.lists += 1
        return super().tolist()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[str]:
    """What was made so far: names by probability, active labels, pixels of masks."""
    made: collections.Counter[str] = collections.Counter()
    for module, name in (
        (classes, "named"),
        (multilabel, "named"),
        (multilabel, "_active"),
        (mask, "_ids"),
    ):
        what, make = f"{module.__name__.rpartition('.')[2]}.{name}", getattr(module, name)

        def counted(*arguments: Any, what: str = what, make: Any = make) -> Any:
            made[what] += 1
            return make(*arguments)

        monkeypatch.setattr(module, name, counted)
    monkeypatch.setattr(Counted, "lists", 0)
    return made


def test_what_is_not_read_is_not_made(made: collections.Counter[str]) -> None:
    tensors = {
        name: tensor.view(Counted) if name.endswith(("_probabilities", "_active", "_points")) else tensor
        for name, tensor in tensors_of(FACES).items()
    }
    analysis = read_photo(tensors, tasks=CONTRACT.select(None), contract=CONTRACT)
    one, several = task_of("classes").name, task_of("multilabel").name
    assert len(analysis) == FACES
    for face in analysis:
        assert face.score > 0
        assert face.answer(one, Classification).label
        assert face.answer(task_of("points").name, Points).xy.shape
        assert repr(face)
        assert face.answer(task_of("mask").name, Mask).to_photo.shape
    assert made == {}
    assert Counted.lists == 0

    assert analysis[7].answer(one, Classification).probability > 0
    assert made == {"classes.named": 1}
    assert analysis[7].answer(several, MultiLabel).active
    assert made == {"classes.named": 1, "multilabel._active": 1}
    for _ in range(2):  # kept from its first use on
        assert analysis[7].answer(task_of("mask").name, Mask).ids.any()
    assert made == {"classes.named": 1, "multilabel._active": 1, "mask._ids": 1}
    assert Counted.lists == 2


def test_all_of_it_is_made_once(made: collections.Counter[str]) -> None:
    tensors = tensors_of(2)
    analysis = read_photo(tensors, tasks=CONTRACT.select(None), contract=CONTRACT)
    assert analysis.to_dict() == analysis.to_dict()
    kinds = collections.Counter(task.kind for task in CONTRACT.tasks)
    assert made["classes.named"] == 2 * kinds["classes"]
    assert made["mask._ids"] == 2 * kinds["mask"]
