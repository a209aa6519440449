"""Data that was written, such as lines of `qface analyze --json`, is read back as its answers."""

import json
from typing import Any

import numpy as np
import pytest

from qface_client import (
    Analysis,
    Contract,
    ContractError,
    Face,
    InvalidInput,
    Mask,
    MultiLabel,
    Provenance,
    Visibility,
)
from qface_client.contract import parse_contract
from qface_client.tables import faces_to_frame
from tests.helpers.random_answers import CONTRACT, photo_of, task_of


def line_of(analysis: Analysis) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(analysis.to_json_line(file="a.jpg"))
    return data


def test_what_is_read_back_gives_the_same_data() -> None:
    analysis = photo_of(3)
    again = Analysis.from_dict(line_of(analysis), CONTRACT)
    assert again.to_dict() == analysis.to_dict()
    assert (again.width, again.height, again.faces_found) == (640, 480, 3)
    for face, twin in zip(analysis, again, strict=True):
        assert {name: type(answer) for name, answer in twin.answers.items()} == {
            name: type(answer) for name, answer in face.answers.items()
        }
        mask = task_of("mask").name
        np.testing.assert_array_equal(twin.answer(mask, Mask).ids, face.answer(mask, Mask).ids)
        assert twin.provenance == Provenance(contract=CONTRACT.hash)


def test_active_labels_are_those_above_the_contracts_threshold() -> None:
    analysis = photo_of(1)
    again = Analysis.from_dict(line_of(analysis), CONTRACT)
    several = task_of("multilabel").name
    assert again[0].answer(several, MultiLabel).active == analysis[0].answer(several, MultiLabel).active
    seen = next(task.name for task in CONTRACT.tasks if task.points_task is not None)
    assert again[0].answer(seen, Visibility).hidden == analysis[0].answer(seen, Visibility).hidden


def test_lines_become_a_frame() -> None:
    frame = faces_to_frame([("a.jpg", Analysis.from_dict(line_of(photo_of(2)), CONTRACT))])
    assert frame[task_of("value").name].tolist() == [31.25, 31.25]
    assert frame["contract"].tolist() == [CONTRACT.hash] * 2


def test_a_face_without_tasks_needs_no_contract() -> None:
    face = Face.from_dict({"box": [1, 2, 3, 4], "score": 0.5}, None)
    assert face.to_dict() == {"box": [1.0, 2.0, 3.0, 4.0], "score": 0.5}
    made = Provenance(model="m", version="1", contract="c", timings={"total": 1.0})
    data = Analysis([face], width=1, height=2, contract=None, provenance=made).to_dict(provenance=True)
    assert Analysis.from_dict(data, None).provenance == made


VALUE, CLASSES, MASK = (task_of(kind).name for kind in ("value", "classes", "mask"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"box": [1, 2, 3]}, "not enough values"),
        ({"score": None}, "float"),
        ({"mood": {"label": "glad"}}, "it has no task 'mood'"),
        ({VALUE: {"days": 3}}, "'years' is missing"),
        ({VALUE: 3}, "not subscriptable"),
        ({CLASSES: {"label": "x", "probabilities": {"x": 1.0}}}, "its labels are"),
        ({MASK: {"labels": [], "size": [1, 1], "map": [[1, 0, 0], [0, 1, 0]], "runs": [[0, 1]]}}, "labels"),
    ],
)
def test_data_of_another_contract_is_refused(change: dict[str, Any], reason: str) -> None:
    data = {"box": [1, 2, 3, 4], "score": 0.5, **change}
    with pytest.raises(InvalidInput, match=rf"answers by the contract {CONTRACT.hash} \(.*{reason}"):
        Face.from_dict(data, CONTRACT)


@pytest.mark.parametrize("runs", [[[0, 5]], [[99, 6]], [[0, -6]], [[0, 12], [1, -6]]])
def test_a_mask_of_wrong_runs_is_refused(runs: list[list[int]]) -> None:
    labels = list(task_of("mask").labels)
    data = {"labels": labels, "size": [2, 3], "map": [[1, 0, 0], [0, 1, 0]], "runs": runs}
    with pytest.raises(InvalidInput, match="run"):
        Face.from_dict({"box": [1, 2, 3, 4], "score": 0.5, MASK: data}, CONTRACT)


def test_data_that_is_no_analysis_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'smallest_face' is missing"):
        Analysis.from_dict({}, CONTRACT)
    with pytest.raises(InvalidInput, match="no attribute"):
        Face.from_dict("text", CONTRACT)  # type: ignore[arg-type]
    assert len(Analysis.from_dict(line_of(photo_of(0)), CONTRACT)) == 0


def test_a_contract_is_read_back_whole_as_its_data_and_by_its_parser() -> None:
    data = json.loads(json.dumps(CONTRACT.to_dict()))
    assert Contract.from_dict(data) == CONTRACT
    assert parse_contract(json.dumps(data)) == CONTRACT
    assert Contract.from_dict({**data, "models": ["main"], "server": {"version": "1"}}) == CONTRACT
    assert {task.threshold for task in CONTRACT.tasks} > {None}
    assert any(task.points for task in CONTRACT.tasks)


def test_a_task_of_a_kind_that_is_not_known_is_read_back_too() -> None:
    aura = {"name": "aura", "kind": "hologram", "labels": ["x"], "unit": "lux"}
    data = {"version": 1, "contract": "abc", "input_size": 8, "crop": "box", "tasks": [aura]}
    assert Contract.from_dict(data).to_dict() == data


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": None}, "TypeError"),
        ({"tasks": [{"name": "mood"}]}, "'labels' is missing"),
        ({"input_size": "large"}, "ValueError"),
        ({"tasks": ["mood"]}, "TypeError"),
    ],
)
def test_data_that_is_no_contract_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=rf"no contract as to_dict\(\) gives it \(.*{reason}"):
        Contract.from_dict({**CONTRACT.to_dict(), **change})
    with pytest.raises(InvalidInput, match="'version' is missing"):
        Contract.from_dict({})
    with pytest.raises(InvalidInput, match="TypeError"):
        Contract.from_dict("text")  # type: ignore[arg-type]


def test_a_contract_of_a_later_version_asks_for_an_upgrade() -> None:
    with pytest.raises(ContractError, match=r"has version 2.*upgrade qface-client"):
        Contract.from_dict({**CONTRACT.to_dict(), "version": 2})
