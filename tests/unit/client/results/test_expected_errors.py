"""How far an answer may be off: read, printed, kept, and nowhere where the server states none."""

import copy
import dataclasses
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest

from qface_client import Analysis, Contract, ContractError, Face, Points, Rotation, ServerError, Value
from qface_client.contract import ErrorBounds, parse_contract
from qface_client.reading import read_photo
from tests.helpers.random_answers import CONTRACT, photo_of, stating_errors, task_of, tensors_of

STATING = stating_errors(CONTRACT)
BOUNDS = ErrorBounds(unit="years", within=((0.5, 0.7), (0.8, 1.6), (0.95, 3.0)))
VALUE, ROTATION, POINTS = (task_of(kind) for kind in ("value", "rotation", "points"))


def answers_of(face: Face) -> tuple[Value, Rotation, Points]:
    return (
        face.answer(VALUE.name, Value),
        face.answer(ROTATION.name, Rotation),
        face.answer(POINTS.name, Points),
    )


def test_a_task_is_asked_for_its_error_where_the_contract_has_its_bounds() -> None:
    for task, stating in zip(CONTRACT.tasks, STATING.tasks, strict=True):
        error = (f"{task.name}_error",) if task.kind in ("value", "rotation", "points") else ()
        assert stating.outputs == task.outputs + error
        assert not task.states_error


def test_an_error_of_a_kind_that_has_none_is_not_asked_for() -> None:
    task = dataclasses.replace(task_of("classes"), error=BOUNDS)
    assert task.outputs == task_of("classes").outputs


def test_answers_have_the_errors_of_their_face() -> None:
    tensors = tensors_of(2, contract=STATING)
    face = read_photo(tensors, tasks=STATING.tasks, contract=STATING)[1]
    assert face.answer(VALUE.name, Value).error == tensors[f"{VALUE.name}_error"][1, 0]
    errors = face.answer(ROTATION.name, Rotation).errors
    assert errors == dict(zip(ROTATION.labels, tensors[f"{ROTATION.name}_error"][1].tolist(), strict=True))
    points = face.answer(POINTS.name, Points)
    assert points.errors is not None
    np.testing.assert_array_equal(points.errors, tensors[f"{POINTS.name}_error"][1])
    with pytest.raises(ValueError, match="read-only"):
        points.errors[0] = 1


def test_a_server_that_states_no_error_answers_none() -> None:
    face = photo_of(1)[0]
    value, rotation, points = answers_of(face)
    assert (value.error, value.interval(0.8)) == (None, None)
    assert (rotation.errors, rotation.interval(ROTATION.labels[0], 0.8)) == (None, None)
    assert (points.errors, points.radii(0.8)) == (None, None)
    assert not [key for key in face.to_dict() if key.endswith("_error")]
    assert "error" not in repr(value) + repr(rotation) + repr(points)


def test_an_interval_lies_around_the_answer_at_the_measured_pairs() -> None:
    age = Value(30.0, "years", error=4.0, bounds=BOUNDS)
    assert [age.interval(share) for share in (0.5, 0.8, 0.95)] == [
        pytest.approx((30 - 4 * factor, 30 + 4 * factor)) for factor in (0.7, 1.6, 3.0)
    ]
    pose = Rotation({"yaw": 10.0, "roll": 0.0}, errors={"yaw": 2.0, "roll": 5.0}, bounds=BOUNDS)
    assert pose.interval("yaw", 0.8) == pytest.approx((6.8, 13.2))
    errors = np.array([1, 3], np.float32)
    radii = Points(np.zeros((2, 2), np.float32), ("a", "b"), errors=errors, bounds=BOUNDS).radii(0.8)
    assert radii is not None
    assert radii.tolist() == pytest.approx([1.6, 4.8])


def test_between_measured_pairs_a_factor_is_linear_in_the_log_of_what_lies_outside() -> None:
    halfway = 1 - math.sqrt((1 - 0.5) * (1 - 0.8))
    assert BOUNDS.factor(halfway) == pytest.approx((0.7 + 1.6) / 2)
    assert BOUNDS.factor(1 - math.sqrt(0.5)) == pytest.approx(0.7 / 2), "before the first pair"
    assert BOUNDS.factor(1 - 0.05**2) == pytest.approx(3.0 * 2), "beyond the last pair"
    factors = [BOUNDS.factor(share) for share in np.linspace(0.001, 0.999, 200)]
    assert factors == sorted(factors)


@pytest.mark.parametrize("share", [0, 1, -0.1, 80, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    for bounds in (BOUNDS, None):
        with pytest.raises(ValueError, match=f"between 0 and 1, not {share}"):
            Value(1.0, "years", error=1.0, bounds=bounds).interval(share)
    with pytest.raises(KeyError, match="no label 'tilt': it has yaw"):
        Rotation({"yaw": 1.0}).interval("tilt", 0.8)


def test_the_json_has_the_errors_behind_their_answers() -> None:
    face = photo_of(1, contract=STATING)[0]
    data = json.loads(json.dumps(face.to_dict()))
    keys = list(data)
    for task in (VALUE, ROTATION, POINTS):
        assert keys[keys.index(task.name) + 1] == f"{task.name}_error"
    value, rotation, points = answers_of(face)
    assert value.error is not None
    assert rotation.errors is not None
    assert points.errors is not None
    assert data[f"{VALUE.name}_error"] == {VALUE.unit: round(value.error, 2)}
    assert data[f"{ROTATION.name}_error"] == {k: round(v, 2) for k, v in rotation.errors.items()}
    assert data[f"{POINTS.name}_error"] == [round(error, 2) for error in points.errors.tolist()]
    assert {k: v for k, v in data.items() if not k.endswith("_error")} == photo_of(1)[0].to_dict()


def test_what_is_read_back_has_the_errors_and_their_intervals() -> None:
    analysis = photo_of(2, contract=STATING)
    again = Analysis.from_dict(json.loads(analysis.to_json_line()), STATING)
    assert again.to_dict() == analysis.to_dict()
    face = again[0]
    assert list(face.answers) == list(analysis[0].answers)
    assert face.answer(VALUE.name, Value).interval(0.8) is not None
    assert face.answer(POINTS.name, Points).radii(0.8) is not None


def test_json_of_a_server_without_errors_is_read_by_the_contract_that_has_them() -> None:
    data = photo_of(1, contract=STATING).to_dict()
    data["faces"] = [{k: v for k, v in data["faces"][0].items() if not k.endswith("_error")}]
    assert Analysis.from_dict(data, STATING)[0].answer(VALUE.name, Value).error is None


def test_the_schema_has_errors_as_optional_properties_of_the_kinds_form() -> None:
    schema = Analysis.json_schema(STATING)["properties"]["faces"]["items"]
    assert schema["required"] == ["box", "score"]
    names = list(schema["properties"])
    for task in (VALUE, ROTATION, POINTS):
        assert names[names.index(task.name) + 1] == f"{task.name}_error"
    assert schema["properties"][f"{VALUE.name}_error"]["required"] == [VALUE.unit]
    assert schema["properties"][f"{ROTATION.name}_error"]["required"] == list(ROTATION.labels)
    assert schema["properties"][f"{POINTS.name}_error"]["minItems"] == len(POINTS.labels)
    without = Analysis.json_schema(CONTRACT)["properties"]["faces"]["items"]["properties"]
    assert set(names) - set(without) == {f"{task.name}_error" for task in (VALUE, ROTATION, POINTS)}


def test_copies_have_the_errors() -> None:
    for answer in photo_of(2, contract=STATING)[1].answers.values():
        for twin in (copy.copy(answer), copy.deepcopy(answer), pickle.loads(pickle.dumps(answer))):
            assert repr(twin) == repr(answer)
            assert twin.error_dict() == answer.error_dict()
    value = Value(30.0, "years", error=4.0, bounds=BOUNDS)
    assert pickle.loads(pickle.dumps(value)) == value != Value(30.0, "years")
    assert repr(value) == "Value(value=30.0, unit='years', error=4.0)"


def _drop(tensors: dict[str, Any]) -> None:
    del tensors[f"{VALUE.name}_error"]


def _reshape(tensors: dict[str, Any]) -> None:
    tensors[f"{POINTS.name}_error"] = np.zeros((1, 3), np.float32)


@pytest.mark.parametrize(("change", "words"), [(_drop, "lacks"), (_reshape, r"has shape \[1, 3\]")])
def test_errors_that_are_not_as_promised_are_the_servers_error(change: Any, words: str) -> None:
    tensors = tensors_of(1, contract=STATING)
    change(tensors)
    with pytest.raises(ServerError, match=words):
        read_photo(tensors, tasks=STATING.tasks, contract=STATING)


def test_the_contract_is_written_as_it_was_read() -> None:
    again = Contract.from_dict(json.loads(json.dumps(STATING.to_dict())))
    assert again == STATING
    assert not [task for task in CONTRACT.to_dict()["tasks"] if "error" in task]


@pytest.mark.parametrize(
    "within", [[], [[0.5, 0.7], [0.5, 0.8]], [[0.8, 2], [0.9, 1]], [[1.0, 2]], [[0.5, 0]], [[0.5]], [0.5]]
)
def test_bounds_that_cannot_be_read_are_a_contract_error(within: Any) -> None:
    error = {"unit": "years", "within": within}
    task = {"name": "t", "kind": "value", "labels": ["years"], "unit": "years", "error": error}
    text = json.dumps({"version": 1, "hash": "h", "input_size": 8, "tasks": [task]})
    with pytest.raises(ContractError, match="can't be read"):
        parse_contract(text)
