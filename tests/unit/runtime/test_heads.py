"""A contract's heads: one a task, and a second one where its entry states an error."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.contract import Contract, ErrorBounds, TaskEntry
from runtime.heads import answer_tensors, heads_of
from runtime.kinds.base import HeadTensor
from runtime.postprocess import Postprocessor, no_faces

YEARS = ErrorBounds(unit="years", within=((0.5, 0.7), (0.8, 1.6)))
AGE = TaskEntry(name="age", kind="value", labels=("years",), unit="years", error=YEARS)
POSE = TaskEntry(
    name="pose",
    kind="rotation",
    labels=("yaw", "pitch", "roll"),
    unit="degrees",
    error=dataclasses.replace(YEARS, unit="degrees"),
)
MARKS = TaskEntry(
    name="marks",
    kind="points",
    labels=("left", "right"),
    unit="pixels",
    error=dataclasses.replace(YEARS, unit="pixels"),
)
GENDER = TaskEntry(name="gender", kind="classes", labels=("female", "male"), unit="probability")


def contract(*entries: TaskEntry) -> Contract:
    return Contract(version=1, input_size=32, tasks=entries)


def head_values(faces: int) -> dict[str, NDArray[Any]]:
    return {
        "age": np.full((faces, 1), 31, np.float32),
        "age_error": np.full((faces, 1), 4, np.float32),
        "pose": np.stack([np.eye(3, dtype=np.float32)] * faces),
        "pose_error": np.full((faces, 3), 2, np.float32),
        "marks": np.ones((faces, 2, 2), np.float32),
        "marks_error": np.tile(np.array([1, 2], np.float32), (faces, 1)),
    }


def test_a_task_with_an_error_has_two_heads_others_have_one() -> None:
    heads = heads_of(contract(GENDER, AGE, POSE, MARKS))
    assert {name: head.tensor for name, head in heads.items()} == {
        "gender": HeadTensor(datatype="FP32", dims=(2,)),
        "age": HeadTensor(datatype="FP32", dims=(1,)),
        "age_error": HeadTensor(datatype="FP32", dims=(1,)),
        "pose": HeadTensor(datatype="FP32", dims=(3, 3)),
        "pose_error": HeadTensor(datatype="FP32", dims=(3,)),
        "marks": HeadTensor(datatype="FP32", dims=(2, 2)),
        "marks_error": HeadTensor(datatype="FP32", dims=(2,)),
    }
    assert heads["age_error"].entry is AGE
    without = heads_of(contract(*(dataclasses.replace(entry, error=None) for entry in (AGE, POSE, MARKS))))
    assert list(without) == ["age", "pose", "marks"]


def test_an_error_is_an_answer_beside_its_task_s() -> None:
    assert [tensor.name for tensor in answer_tensors(AGE)] == ["age_value", "age_error"]
    assert [tensor.name for tensor in answer_tensors(dataclasses.replace(AGE, error=None))] == ["age_value"]


def test_an_error_needs_its_own_head_alone() -> None:
    made = Postprocessor(contract(AGE, POSE, MARKS))
    assert made.heads_for(["age_value"]) == ["age"]
    assert made.heads_for(["age_error"]) == ["age_error"]
    assert made.heads_for(["marks_points", "age_error", "age_value"]) == ["age", "age_error", "marks"]


def test_errors_of_points_are_lengths_in_the_photo_the_others_stay() -> None:
    turned_twice_as_large = np.array([[0, -2, 5], [2, 0, 7]], np.float32)
    mirrored = np.array([[-3, 0, 5], [0, 3, 7]], np.float32)
    made = Postprocessor(contract(AGE, POSE, MARKS))
    answers = made.answers(head_values(2), np.stack([turned_twice_as_large, mirrored]))
    np.testing.assert_allclose(answers["marks_error"], [[2, 4], [3, 6]], rtol=1e-6)
    np.testing.assert_array_equal(answers["pose_error"], np.full((2, 3), 2))
    np.testing.assert_array_equal(answers["age_error"], [[4], [4]])
    assert {name for name in answers if name.endswith("_error")} == {"age_error", "pose_error", "marks_error"}
    assert answers["marks_error"].dtype == np.float32
    with pytest.raises(ValueError, match="task 'marks' is answered in the photo's frame"):
        made.answers({"marks_error": np.ones((1, 2), np.float32)})


def test_without_faces_errors_have_no_rows() -> None:
    empty = no_faces(contract(AGE, MARKS), ["age", "marks_error"])
    assert {name: values.shape for name, values in empty.items()} == {
        "age_value": (0, 1),
        "marks_error": (0, 2),
    }


def test_an_error_is_compared_in_its_own_unit() -> None:
    error = heads_of(contract(AGE))["age_error"].kind
    assert error.unit_text(AGE) == " years"
    assert error.difference(np.ones((2, 1)), np.full((2, 1), 1.25), in_units=True) == 0.25
    assert (error.tolerance("fp32"), error.tolerance("bf16")) == (1e-3, 0.5)


def test_heads_that_can_not_be_are_refused() -> None:
    with pytest.raises(ValueError, match="task 'gender' states an error, which answers of kind classes have"):
        heads_of(contract(dataclasses.replace(GENDER, error=YEARS)))
    with pytest.raises(ValueError, match="the name 'age_error' is that of a task and of another's error"):
        contract(AGE, dataclasses.replace(GENDER, name="age_error"))
