"""Heads become answers by their kind, with labels and thresholds from the contract alone."""

import dataclasses
import math

import cv2
import numpy as np
import pytest

from runtime.contract import Contract, TaskEntry
from runtime.kinds import kind_of
from runtime.kinds.mask import OUTSIDE
from runtime.pose import rotation_from_angles
from runtime.postprocess import Postprocessor, no_faces, postprocess, postprocess_all
from tests.helpers.networks import standin_network as standin

# A crop turned by 30 degrees in the photo, twice as large there, at (100, 50).
TURN = math.radians(30)
TO_PHOTO = np.array(
    [
        [2 * math.cos(TURN), -2 * math.sin(TURN), 100],
        [2 * math.sin(TURN), 2 * math.cos(TURN), 50],
    ],
    dtype=np.float32,
)
IDENTITY = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)


def task(name: str, kind: str, *labels: str) -> TaskEntry:
    return TaskEntry(name=name, kind=kind, labels=labels, unit="")


def test_classes_name_their_most_probable_label() -> None:
    entry = task("weather", "classes", "rain", "sun")
    head = np.array([[0.2, 0.8], [0.9, 0.1]], np.float32)
    answered = postprocess(entry, head)
    assert set(answered) == {"weather_probabilities", "weather_label"}
    np.testing.assert_array_equal(answered["weather_probabilities"], head)
    assert answered["weather_label"].tolist() == [[b"sun"], [b"rain"]]


def test_labels_of_multilabel_are_active_from_the_contract_s_threshold_on() -> None:
    entry = dataclasses.replace(task("t", "multilabel", "a", "b", "c"), threshold=0.25)
    answered = postprocess(entry, np.array([[0.2, 0.25, 0.9]], np.float32))
    assert answered["t_active"].tolist() == [[False, True, True]]


def test_a_rotation_becomes_angles_of_the_photo() -> None:
    entry = task("pose", "rotation", "yaw", "pitch", "roll")
    in_crop = rotation_from_angles(np.array([[10.0, -5.0, 2.0], [10.0, -5.0, 2.0]])).astype(np.float32)
    answered = postprocess(entry, in_crop, np.stack([IDENTITY, TO_PHOTO]))
    np.testing.assert_allclose(answered["pose_angles"], [[10, -5, 2], [10, -5, 32]], atol=1e-3)
    assert answered["pose_angles"].dtype == np.float32


def test_points_of_each_face_move_by_its_own_map() -> None:
    entry = task("points", "points", "one", "two")
    head = np.array([[[0, 0], [10, 0]], [[0, 0], [10, 0]]], np.float32)
    answered = postprocess(entry, head, np.stack([IDENTITY, TO_PHOTO]))
    expected = [[[0, 0], [10, 0]], [[100, 50], [100 + 20 * math.cos(TURN), 50 + 20 * math.sin(TURN)]]]
    np.testing.assert_allclose(answered["points_points"], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["rotation", "points", "mask"])
def test_answers_in_the_photo_s_frame_need_the_map_to_it(kind: str) -> None:
    with pytest.raises(ValueError, match="crop_to_photo is needed"):
        postprocess(task("t", kind, "a", "b"), np.zeros((1, 2, 2)))


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown kind 'smell': known are classes, "):
        postprocess(task("t", "smell", "a"), np.zeros((1, 1)))


def test_the_tensors_that_are_promised_are_those_that_are_answered() -> None:
    names = ("expression", "action_units", "age", "head_pose", "landmarks", "parsing")
    contract = Contract.parse(standin.contract_of(*names))
    heads = {
        "expression": np.zeros((3, 7), np.float32),
        "action_units": np.zeros((3, 12), np.float32),
        "age": np.zeros((3, 1), np.float32),
        "head_pose": np.stack([np.eye(3, dtype=np.float32)] * 3),
        "landmarks": np.zeros((3, 68, 2), np.float32),
        "parsing": np.zeros((3, 32, 32), np.uint8),
    }
    promised = [answer for entry in contract.tasks for answer in kind_of(entry).answer_tensors(entry)]
    every = {answer.name for answer in promised}
    answered = postprocess_all(contract, heads, np.stack([TO_PHOTO] * 3), requested=every)
    empty = no_faces(contract, heads)
    assert set(answered) == set(empty) == {answer.name for answer in promised}
    dtypes = {"FP32": np.float32, "BOOL": np.bool_, "UINT8": np.uint8, "BYTES": np.object_}
    for answer in promised:
        values, none = answered[answer.name], empty[answer.name]
        assert values.dtype == none.dtype == dtypes[answer.datatype], answer.name
        assert len(values) == 3
        assert len(none) == 0
        for size, promised_size in zip(values.shape[1:], answer.dims, strict=True):
            assert promised_size in (-1, size), answer.name


def test_what_is_made_on_request_is_made_only_then() -> None:
    entry = task("t", "mask", "a", "b")
    head, maps = np.zeros((2, 4, 4), np.uint8), np.stack([IDENTITY] * 2)
    assert set(postprocess(entry, head, maps)) == {"t_png", "t_map"}
    assert "t_runs" not in postprocess(entry, head, maps, requested=["t_png"])
    only = postprocess(entry, head, maps, requested=["t_runs"])
    assert only["t_runs"][1, 0] == b'{"size":[4,4],"counts":[[0,16]]}'
    assert "t_png" not in only


def test_a_mask_ends_where_its_photo_ends() -> None:
    entry = task("t", "mask", "a", "b")
    head = np.ones((2, 6, 6), np.uint8)
    maps = np.stack([IDENTITY, IDENTITY + np.array([[0, 0, -2], [0, 0, 8]], np.float32)])
    answered = postprocess(entry, head, maps, photo_size=np.array([[6, 6], [20, 10]]))
    first, second = (
        cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED) for (png,) in answered["t_png"]
    )
    assert (first == 1).all()
    expected = np.full((6, 6), OUTSIDE)
    expected[:2, 2:] = 1
    np.testing.assert_array_equal(second, expected)


def test_only_the_heads_behind_what_is_asked_for_are_needed() -> None:
    made = Postprocessor(Contract.parse(standin.contract_of("expression", "age", "head_pose")))
    assert made.heads_for(["boxes", "contract"]) == []
    assert made.heads_for(["head_pose_angles", "expression_label"]) == ["expression", "head_pose"]
    heads = {"age": np.array([[31.0]], np.float32)}
    assert set(made.answers(heads)) == {"age_value"}
