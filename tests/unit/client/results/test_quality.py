"""A face's quality: the probability that the contract names, where it was asked for."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from qface_client import Analysis, Contract, ContractError, MultiLabel
from qface_client.contract import QualityRule, parse_contract
from qface_client.reading import read_photo
from tests.helpers.random_answers import CONTRACT, photo_of, task_of, tensors_of

RULE = QualityRule(task=task_of("multilabel").name, label=task_of("multilabel").labels[1], minimum=0.3)
RATED = dataclasses.replace(CONTRACT, quality=RULE, hash="rated")
UNRATED = dataclasses.replace(CONTRACT, quality=None)


def test_a_faces_quality_is_the_answer_that_the_contract_names() -> None:
    face = photo_of(2, contract=RATED)[1]
    assert face.quality == face.answer(RULE.task, MultiLabel)[RULE.label]
    data = face.to_dict()
    assert list(data)[:3] == ["box", "score", "quality"]
    assert data["quality"] == data[RULE.task][RULE.label]


def test_there_is_none_where_it_is_not_stated_or_not_asked_for() -> None:
    for face in (photo_of(1, contract=UNRATED)[0], photo_of(1, contract=RATED, tasks=["age"])[0]):
        assert face.quality is None
        assert "quality" not in face.to_dict()


def test_a_photo_states_how_many_faces_are_below() -> None:
    tensors = tensors_of(1, contract=RATED) | {"faces_below_quality": np.array([2], np.int32)}
    analysis = read_photo(tensors, tasks=RATED.tasks, contract=RATED)
    assert analysis.faces_below_quality == 2
    assert list(analysis.to_dict())[:5] == [
        "width", "height", "faces_found", "faces_below_quality", "smallest_face",
    ]  # fmt: skip
    again = Analysis.from_dict(json.loads(analysis.to_json_line()), RATED)
    assert again.to_dict() == analysis.to_dict()
    assert (again.faces_below_quality, again[0].quality) == (2, analysis.to_dict()["faces"][0]["quality"])
    without = photo_of(1, contract=UNRATED)
    assert without.faces_below_quality is None
    assert "faces_below_quality" not in without.to_dict()


def test_the_schema_has_it_where_the_contract_does() -> None:
    rated, unrated = Analysis.json_schema(RATED), Analysis.json_schema(UNRATED)
    assert set(rated["properties"]) - set(unrated["properties"]) == {"faces_below_quality"}
    assert rated["required"] == unrated["required"]
    face, other = (schema["properties"]["faces"]["items"] for schema in (rated, unrated))
    assert set(face["properties"]) - set(other["properties"]) == {"quality"}
    assert face["required"] == other["required"] == ["box", "score"]


def test_the_contract_is_written_as_it_was_read() -> None:
    assert Contract.from_dict(json.loads(json.dumps(RATED.to_dict()))) == RATED
    assert "quality" not in UNRATED.to_dict()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "mood"}, "which it does not have"),
        ({"label": "fine"}, "which it does not have"),
        ({"minimum": 30}, "not in 0..1"),
        ({"minimum": None}, "TypeError"),
    ],
)
def test_a_quality_that_cannot_be_read_is_a_contract_error(change: dict[str, Any], words: str) -> None:
    data = RATED.to_dict()
    data["quality"] |= change
    with pytest.raises(ContractError, match=words):
        parse_contract(json.dumps(data))
