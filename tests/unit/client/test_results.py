"""Typed answers: what people write in scripts, and the JSON that scripts read."""

import ast
import copy
import dataclasses
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest

import qface_client
from qface_client import (
    Analysis,
    Answer,
    Classification,
    Face,
    Mask,
    MultiLabel,
    Points,
    Provenance,
    Rotation,
    Value,
    Visibility,
)
from qface_client.contract import parse_contract
from qface_client.results import OUTSIDE
from training.contract import make_contract
from training.tasks import CATALOGUE

CONTRACT = parse_contract(json.dumps(make_contract(list(CATALOGUE.values()), input_size=128).to_json()))


@pytest.fixture
def face() -> Face:
    return Face(
        box=(10.126, 20.0, 50.5, 60.0),
        score=0.98765,
        landmarks5=None,
        answers={
            "expression": Classification("happiness", {"happiness": 0.93333, "neutral": 0.06667}),
            "action_units": MultiLabel({"AU12": 0.97001, "AU6": 0.2}, active=["AU12"]),
            "age": Value(31.2345, "years"),
            "head_pose": Rotation({"yaw": -3.14159, "pitch": 4.0, "roll": 0.2}),
            "landmarks": Points(np.array([[1.005, 2.5], [3.0, 4.126]], np.float32), ("a", "b")),
        },
        contract=CONTRACT,
    )


def test_the_json_is_the_one_that_scripts_rest_on(face: Face) -> None:
    analysis = Analysis(
        [face], width=512, height=500, contract=CONTRACT, faces_found=3, smallest_face=21.8537
    )
    line = analysis.to_json(file="photo.jpg")
    assert json.loads(json.dumps(line)) == {
        "file": "photo.jpg",
        "width": 512,
        "height": 500,
        "faces_found": 3,
        "smallest_face": 21.85,
        "faces": [
            {
                "box": [10.13, 20.0, 50.5, 60.0],
                "score": 0.9877,
                "expression": {
                    "label": "happiness",
                    "probabilities": {"happiness": 0.9333, "neutral": 0.0667},
                },
                "action_units": {"AU12": 0.97, "AU6": 0.2},
                "age": {"years": 31.23},
                "head_pose": {"yaw": -3.14, "pitch": 4.0, "roll": 0.2},
                "landmarks": [[1.0, 2.5], [3.0, 4.13]],
            }
        ],
    }
    assert list(line) == ["file", "width", "height", "faces_found", "smallest_face", "faces"]


def test_a_server_that_does_not_say_how_it_searched_found_what_it_answered(face: Face) -> None:
    analysis = Analysis([face], width=512, height=500, contract=CONTRACT)
    assert (analysis.faces_found, analysis.smallest_face) == (1, None)
    assert analysis.to_json()["smallest_face"] is None


def test_each_kind_is_read_by_its_own_words(face: Face) -> None:
    assert (face.expression.label, face.expression.probability) == ("happiness", 0.93333)
    assert face.action_units["AU12"] == 0.97001
    assert face.action_units.active == ["AU12"]
    assert dict(face.action_units) == {"AU12": 0.97001, "AU6": 0.2}
    assert face.age.years == face.age.value == float(face.age) == 31.2345
    assert (face.head_pose.yaw, face.head_pose.pitch) == (-3.14159, 4.0)
    assert face.landmarks["b"].tolist() == face.landmarks[1].tolist()
    assert np.asarray(face.landmarks).shape == (2, 2)
    assert face["age"] is face.age
    assert "age" in dir(face)


def test_a_wrong_name_says_which_are_right(face: Face) -> None:
    with pytest.raises(AttributeError, match="no 'mood': it has expression, action_units, age, head_pose"):
        face.mood  # noqa: B018
    with pytest.raises(AttributeError, match="'gender' was not asked for"):
        face.gender  # noqa: B018
    with pytest.raises(KeyError, match="no 'mood'"):
        face["mood"]
    with pytest.raises(AttributeError, match="has no 'days': it has value, unit and years"):
        face.age.days  # noqa: B018
    with pytest.raises(AttributeError, match="has no 'tilt': it has yaw, pitch, roll"):
        face.head_pose.tilt  # noqa: B018
    with pytest.raises(KeyError, match="no label 'c': it has a, b"):
        face.landmarks["c"]
    with pytest.raises(KeyError, match=r"no label 'AU99': it has AU"):
        face.action_units["AU99"]
    assert face.action_units.get("AU99") is None
    assert "AU99" not in face.action_units


def test_answers_can_be_copied_and_sent_to_another_process(face: Face) -> None:
    for twin in (copy.deepcopy(face), pickle.loads(pickle.dumps(face))):
        assert twin.to_json() == face.to_json()
        assert twin.age.years == face.age.years


def test_an_analysis_is_a_sequence(face: Face) -> None:
    analysis = Analysis([face, face], width=1, height=1, contract=None)
    assert len(analysis) == 2
    assert analysis[-1] is face
    assert list(analysis[:1]) == [face]
    assert not Analysis([], width=1, height=1, contract=None)


def test_a_mask_is_written_without_loss() -> None:
    ids = np.random.default_rng(0).integers(0, 3, (5, 7), dtype=np.uint8)
    ids[0] = OUTSIDE
    mask = Mask(ids, ("background", "skin", "hair"), np.array([[2, 0, 1.5], [0, 2, -3]], np.float32))
    data = json.loads(json.dumps(mask.to_json()))
    runs = np.array(data["runs"])
    assert np.repeat(runs[:, 0], runs[:, 1]).reshape(data["size"]).tolist() == ids.tolist()
    assert data["runs"][0] == [OUTSIDE, 7]
    assert data["map"] == [[2, 0, 1.5], [0, 2, -3]]
    assert data["labels"] == ["background", "skin", "hair"]
    assert mask.of("hair").sum() == (ids == 2).sum()
    with pytest.raises(KeyError, match="no label 'hat': it has background, skin, hair"):
        mask.of("hat")


@pytest.mark.parametrize("degrees", [0, 30, 90, 200])
def test_a_mask_in_the_photo_has_each_pixel_s_nearest_class(degrees: float) -> None:
    random = np.random.default_rng(0)
    ids = random.integers(0, 3, (12, 9), dtype=np.uint8)
    turn = math.radians(degrees)
    to_photo = np.array(
        [[3 * math.cos(turn), -3 * math.sin(turn), 20], [3 * math.sin(turn), 3 * math.cos(turn), 25]],
        np.float32,
    )
    found = Mask(ids, ("a", "b", "c"), to_photo).in_photo(60, 50, margin=0)
    assert found.shape == (50, 60)
    back = np.linalg.inv(np.vstack([to_photo.astype(np.float64), [0, 0, 1]]))
    for _ in range(300):
        x, y = int(random.integers(60)), int(random.integers(50))
        column, row = (math.floor(place + 0.5) for place in (back @ [x, y, 1])[:2])
        inside = 0 <= column < 9 and 0 <= row < 12
        assert found[y, x] == (ids[row, column] if inside else OUTSIDE), (x, y)


@pytest.mark.parametrize("degrees", [0, 30, 90, 200])
def test_beyond_its_crop_a_mask_goes_on_with_the_nearest_class(degrees: float) -> None:
    ids = np.random.default_rng(1).integers(0, 3, (10, 20), dtype=np.uint8)
    turn = math.radians(degrees)
    turned = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    # The crop's middle is the photo's.
    to_photo = np.column_stack([turned, [39.5, 39.5] - turned @ [9.5, 4.5]]).astype(np.float32)
    found = Mask(ids, ("a", "b", "c"), to_photo).in_photo(80, 80, margin=0.5)
    back = np.linalg.inv(np.vstack([to_photo.astype(np.float64), [0, 0, 1]]))
    reached = 0
    for x, y in np.random.default_rng(2).integers(0, 80, (600, 2)).tolist():
        column, row = (math.floor(place + 0.5) for place in (back @ [x, y, 1])[:2])
        within = -10 <= column < 30 and -5 <= row < 15
        nearest = ids[min(max(row, 0), 9), min(max(column, 0), 19)]
        assert found[y, x] == (nearest if within else OUTSIDE), (x, y)
        reached += within and not (0 <= column < 20 and 0 <= row < 10)
    assert reached > 20


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf])
def test_a_mask_goes_on_by_a_part_of_its_side(margin: float) -> None:
    mask = Mask(np.zeros((4, 4), np.uint8), ("a",), np.eye(3, dtype=np.float32)[:2])
    with pytest.raises(ValueError, match="take 0 or more"):
        mask.in_photo(4, 4, margin=margin)


def test_a_mask_beside_the_photo_reaches_none_of_it() -> None:
    far = np.array([[1, 0, 500], [0, 1, -300]], np.float32)
    assert (Mask(np.zeros((4, 4), np.uint8), ("a",), far).in_photo(30, 20) == OUTSIDE).all()


def test_visibility_keeps_its_labels_and_is_a_list_in_json() -> None:
    answer = Visibility(
        {"tip": 0.91234, "chin": 0.2, "pupil": 0.1}, active=["tip"], task="dots", indices=(4, 8, None)
    )
    assert answer["tip"] == 0.91234
    assert answer.hidden == [8]
    assert answer.to_json() == [0.9123, 0.2, 0.1]
    assert pickle.loads(pickle.dumps(answer)).hidden == copy.deepcopy(answer).hidden == [8]


def test_the_package_knows_no_label_and_no_task_by_heart() -> None:
    known = {name for task in CATALOGUE.values() for name in (task.name, *task.labels)}
    for path in Path(qface_client.__file__).parent.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        strings = {node.value for node in nodes if isinstance(node, ast.Constant)}
        attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        # The five points that a detector gives are called landmarks too.
        assert not (known & strings) - {"landmarks"}, path.name
        assert not (known & attributes) - {"landmarks"}, path.name


def test_every_public_name_is_there() -> None:
    assert all(hasattr(qface_client, name) for name in qface_client.__all__)
    assert sorted(qface_client.__all__) == qface_client.__all__


def test_data_goes_by_two_names_and_text_by_its_own(face: Face) -> None:
    analysis = Analysis([face], width=512, height=500, contract=CONTRACT)
    assert face.to_json() == face.to_dict()
    assert analysis.to_json(file="a.jpg") == analysis.to_dict(file="a.jpg")
    assert json.loads(analysis.to_json_line(file="a.jpg")) == analysis.to_dict(file="a.jpg")
    for answer in face.answers.values():
        assert answer.to_json() == answer.to_dict()


def test_the_provenance_is_in_the_data_where_it_is_wanted(face: Face) -> None:
    analysis = Analysis([face], width=1, height=1, contract=None, provenance=Provenance(model="m"))
    wanted = {"model": "m", "version": "", "contract": "", "timings": {}}
    assert analysis.to_dict(provenance=True) == {**analysis.to_dict(), "provenance": wanted}
    assert "provenance" in face.to_dict(provenance=True)
    assert "provenance" not in face.to_dict()


def test_an_answer_is_read_as_the_class_that_the_caller_expects(face: Face) -> None:
    assert face.answer("age", Value).value == 31.2345
    assert face.answer("age", Answer) is face.age
    with pytest.raises(KeyError, match="'gender' was not asked for"):
        face.answer("gender", Classification)
    with pytest.raises(TypeError, match="'age' is answered by a Value, not by a Classification"):
        face.answer("age", Classification)


def test_the_largest_face_is_not_the_one_with_the_best_score(face: Face) -> None:
    larger = dataclasses.replace(face, box=(0.0, 0.0, 100.0, 100.0), score=0.6)
    analysis = Analysis([face, larger], width=200, height=200, contract=CONTRACT)
    assert analysis.largest is larger
    assert analysis[0] is face
    nobody = Analysis([], width=200, height=200, contract=CONTRACT)
    assert nobody.largest is None
    with pytest.raises(IndexError, match="no face 0: the photo was answered 0 faces"):
        nobody[0]


def test_what_is_printed_in_a_notebook_is_short_and_reads_well(face: Face) -> None:
    assert repr(face) == (
        "Face(box=(10.1, 20.0, 50.5, 60.0), score=0.988, "
        "tasks=[expression, action_units, age, head_pose, landmarks])"
    )
    assert [repr(answer) for answer in face.answers.values()] == [
        "Classification(label='happiness', probabilities={'happiness': 0.9333, 'neutral': 0.0667})",
        "MultiLabel(1 of 2 labels active: {'AU12': 0.97})",
        "Value(value=31.23, unit='years')",
        "Rotation(angles={'yaw': -3.14, 'pitch': 4.0, 'roll': 0.2})",
        "Points(2 points, x 1.0 to 3.0, y 2.5 to 4.1)",
    ]
    mask = Mask(np.zeros((100, 100), np.uint8), ("background", "skin"), np.eye(2, 3, dtype=np.float32))
    assert repr(mask) == "Mask(labels=('background', 'skin'))"
    seen = Visibility({"tip": 0.9, "chin": 0.2}, active=["tip"], task="dots", indices=(4, 8))
    assert repr(seen) == "Visibility(1 of 2 points can be seen, hidden: ['chin'])"
    assert repr(Points(np.zeros((0, 2), np.float32), ())) == "Points(none)"
    assert repr(Analysis([face], width=5, height=4, contract=None)) == "Analysis(1 face in 5x4)"
