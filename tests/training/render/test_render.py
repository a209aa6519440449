"""Renders: what a scene shows is what its labels say."""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from runtime.pose import rotation_from_angles
from tests.helpers.faces.tiny_head import tiny_head
from training.render import workers
from training.render.drawing.picture import Picture, Renderer
from training.render.head.expressions import (
    ACTION_UNITS,
    action_units,
    draw_expression,
    posed_expression,
)
from training.render.scene.background import draw_background, find_photos
from training.render.scene.scene import BEARDS, HAIR, HATS, LIMITS, OCCLUDERS, Lamp, Scene, draw_scene
from training.tasks import CATALOGUE

NOSE, CHIN, RIGHT_EYE, LEFT_EYE, MOUTH = 30, 8, slice(36, 42), slice(42, 48), slice(48, 60)
LAMP = Lamp(toward=(0.3, -0.5, -1.0), colour=(1.0, 1.0, 1.0))
PLAIN = Scene(size=256, side=150.0, lamps=(LAMP,))


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    return Renderer(tiny_head(tmp_path_factory.mktemp("head")))


def rendered(renderer: Renderer, **changes: Any) -> Picture:
    return renderer.render(dataclasses.replace(PLAIN, **changes))


def class_at(picture: Picture, x: float, y: float) -> str:
    return str(CATALOGUE["parsing"].labels[picture.mask[round(y), round(x)]])


def middle(picture: Picture) -> Any:
    """Between the eyes and the mouth, [2]."""
    points = picture.landmarks
    return (points[36:48].mean(axis=0) + points[MOUTH].mean(axis=0)) / 2


def test_a_positive_yaw_turns_the_nose_to_the_pictures_right(renderer: Renderer) -> None:
    right, left = rendered(renderer, angles=(30.0, 0.0, 0.0)), rendered(renderer, angles=(-30.0, 0.0, 0.0))
    assert right.landmarks[NOSE, 0] > middle(right)[0] + 5
    assert left.landmarks[NOSE, 0] < middle(left)[0] - 5
    assert right.labels["head_pose"] == [30.0, 0.0, 0.0]


def test_a_positive_pitch_lifts_the_nose(renderer: Renderer) -> None:
    frontal, up = rendered(renderer), rendered(renderer, angles=(0.0, 25.0, 0.0))
    assert up.landmarks[NOSE, 1] < frontal.landmarks[NOSE, 1] - 5
    down = rendered(renderer, angles=(0.0, -25.0, 0.0))
    assert down.landmarks[NOSE, 1] > frontal.landmarks[NOSE, 1] + 5


def test_a_positive_roll_tilts_the_head_clockwise(renderer: Renderer) -> None:
    points = rendered(renderer, angles=(0.0, 0.0, 20.0)).landmarks
    line = points[LEFT_EYE].mean(axis=0) - points[RIGHT_EYE].mean(axis=0)
    assert np.degrees(np.arctan2(line[1], line[0])) == pytest.approx(20, abs=0.1)


def test_points_are_where_the_pose_convention_puts_them(renderer: Renderer) -> None:
    angles = (24.0, -12.0, 9.0)
    picture = rendered(renderer, angles=angles, distance=60.0)
    head = renderer.head
    at = head.landmarks(head.base)[17:].astype(float) - renderer.middle
    at = at * [1, -1, -1] @ rotation_from_angles(angles).T + [0, 0, 60.0 * renderer.fields.unit]
    focal = PLAIN.side / renderer.crop_side * 60.0 * renderer.fields.unit
    expected = at[:, :2] / at[:, 2:] * focal + PLAIN.size * 0.5 - 0.5
    np.testing.assert_allclose(picture.landmarks[17:], expected, atol=0.01)


def test_a_mirrored_pose_mirrors_points_visibility_and_classes(renderer: Renderer) -> None:
    one = rendered(renderer, angles=(35.0, 10.0, 8.0), body=(0.0, 0.0, 0.0))
    other = rendered(renderer, angles=(-35.0, 10.0, -8.0), body=(0.0, 0.0, 0.0))
    order = CATALOGUE["landmarks"].mirrored_order()
    mirrored = other.landmarks[order] * [-1, 1] + [PLAIN.size - 1, 0]
    np.testing.assert_allclose(one.landmarks, mirrored, atol=0.6)  # the outline is sought vertex by vertex
    swap = CATALOGUE["parsing"].mirrored_order()
    mask = np.array(swap, np.uint8)[other.mask[:, ::-1]]
    clothes = CATALOGUE["parsing"].labels.index("cloth")
    same = (one.mask == mask)[(one.mask != clothes) & (mask != clothes)]
    assert same.mean() > 0.99
    labels = CATALOGUE["visibility"].labels
    pairs = [labels[i] for i in CATALOGUE["visibility"].mirrored_order()]
    agree = [
        one.labels["visibility"][a] == other.labels["visibility"][b]
        for a, b in zip(labels, pairs, strict=True)
    ]
    assert np.mean(agree) > 0.9


def test_the_hidden_side_of_the_jaw_lies_on_the_outline(renderer: Renderer) -> None:
    picture = rendered(renderer, angles=(40.0, 0.0, 0.0))
    skin = CATALOGUE["parsing"].labels.index("skin")
    for point in (12, 13, 14):
        x, y = picture.landmarks[point]
        row = np.flatnonzero(picture.mask[round(y)] >= skin)
        assert abs(row.max() - x) < 8


def test_all_points_of_a_bare_frontal_head_are_visible(renderer: Renderer) -> None:
    visible = rendered(renderer).labels["visibility"]
    assert list(visible) == list(CATALOGUE["visibility"].labels)
    assert set(visible.values()) == {1.0}


def test_a_head_turned_aside_hides_its_far_eye(renderer: Renderer) -> None:
    visible = rendered(renderer, angles=(75.0, 0.0, 0.0)).labels["visibility"]
    # The head looks to the picture's right: its own left side is turned away.
    assert visible["right_eye_outer"] == 0
    assert visible["left_eye_outer"] == visible["left_brow_outer"] == visible["nose_tip"] == 1


def test_dark_glasses_hide_the_eyes_and_clear_ones_do_not(renderer: Renderer) -> None:
    pupils = ("left_pupil", "right_pupil")
    dark, clear = rendered(renderer, glasses="dark"), rendered(renderer, glasses="clear")
    assert all(dark.labels["visibility"][name] == 0 for name in pupils)
    assert all(clear.labels["visibility"][name] == 1 for name in pupils)
    eye = dark.landmarks[LEFT_EYE].mean(axis=0)
    assert class_at(dark, *eye) == "glasses"
    assert class_at(clear, *clear.landmarks[LEFT_EYE].mean(axis=0)) == "left_eye"


@pytest.mark.parametrize("cover", ["hand", "bar", "board", "patch"])
def test_what_covers_the_face_hides_its_points_and_is_background(renderer: Renderer, cover: str) -> None:
    bare = rendered(renderer)
    for seed in range(6):
        picture = rendered(renderer, occluder=cover, seed=seed)
        covered = (picture.mask == 0) & (bare.mask != 0)
        assert covered.any()
        aligned = CATALOGUE["visibility"].aligned_labels
        assert aligned is not None
        for label, value in picture.labels["visibility"].items():
            if aligned[label] is not None:
                x, y = np.rint(picture.landmarks[aligned[label]]).astype(int)
                around = covered[y - 1 : y + 2, x - 1 : x + 2]
                assert value == (around.sum() < 5), (label, seed)


def test_a_picture_that_ends_within_the_face_shows_no_points_beyond(renderer: Renderer) -> None:
    cut = 0
    for seed in range(8):
        picture = rendered(renderer, occluder="edge", seed=seed)
        height, width = picture.mask.shape
        assert picture.pixels.shape == (height, width, 3)
        aligned = CATALOGUE["visibility"].aligned_labels
        assert aligned is not None
        for label, value in picture.labels["visibility"].items():
            if aligned[label] is not None:
                x, y = picture.landmarks[aligned[label]]
                if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
                    cut += 1
                    assert value == 0
    assert cut > 0


def test_classes_are_where_they_must_be(renderer: Renderer) -> None:
    picture = rendered(renderer)
    points = picture.landmarks
    assert class_at(picture, *points[NOSE]) == "nose"
    assert class_at(picture, *points[LEFT_EYE].mean(axis=0)) == "left_eye"
    assert class_at(picture, *points[RIGHT_EYE].mean(axis=0)) == "right_eye"
    assert points[LEFT_EYE].mean(axis=0)[0] > points[RIGHT_EYE].mean(axis=0)[0]  # the subject's left
    assert class_at(picture, *(points[24] + [0, 2])) == "left_brow"
    assert class_at(picture, *(points[19] + [0, 2])) == "right_brow"
    assert class_at(picture, *((points[51] + points[62]) / 2)) == "upper_lip"
    assert class_at(picture, *((points[57] + points[66]) / 2)) == "lower_lip"
    assert class_at(picture, *((points[27] + points[21]) / 2 - [0, 12])) == "skin"
    assert class_at(picture, 2, 2) == "background"


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"hair": "short"}, "hair"),
        ({"hair": "long"}, "hair"),
        ({"hair": "shaven"}, "hair"),
        ({"hat": "beanie"}, "hat"),
        ({"hat": "cap", "hair": "short"}, "hat"),
        ({}, "skin"),
    ],
)
def test_the_top_of_the_head_is_what_grows_or_sits_on_it(
    renderer: Renderer, changes: dict[str, str], label: str
) -> None:
    picture = rendered(renderer, angles=(0.0, -15.0, 0.0), **changes)
    column = picture.mask[:, PLAIN.size // 2]
    top = int(np.flatnonzero(column)[0])
    assert class_at(picture, PLAIN.size // 2, top + 4) == label


def test_a_mask_hides_mouth_and_nose_and_has_no_class(renderer: Renderer) -> None:
    picture = rendered(renderer, mask=True)
    visible = picture.labels["visibility"]
    assert visible["mouth_left"] == visible["nose_tip"] == visible["lower_lip_bottom"] == 0
    assert visible["left_brow_inner"] == 1
    x, y = np.rint(picture.landmarks[51]).astype(int)
    assert picture.mask[y, x] == 255


def test_an_open_jaw_moves_the_chin_down(renderer: Renderer) -> None:
    shut, open_ = rendered(renderer), rendered(renderer, expression={"jawOpen": 1.0})
    assert open_.landmarks[CHIN, 1] > shut.landmarks[CHIN, 1] + 5
    assert open_.labels["action_units"]["AU26"] == 1


def test_light_from_one_side_makes_that_side_brighter(renderer: Renderer) -> None:
    lamp = Lamp(toward=(-1.0, 0.0, -0.3), colour=(1.0, 1.0, 1.0))
    picture = rendered(renderer, lamps=(lamp,), sky=(0.1, 0.1, 0.1), ground=(0.1, 0.1, 0.1))
    x, y = np.rint(picture.landmarks[NOSE]).astype(int)
    left, right = picture.pixels[y, x - 35 : x - 10].mean(), picture.pixels[y, x + 10 : x + 35].mean()
    assert left > right + 20


def test_action_units_are_the_catalogues() -> None:
    assert tuple(ACTION_UNITS) == CATALOGUE["action_units"].labels
    assert set(action_units({}).values()) == {0.0}


def test_action_units_follow_from_the_shapes() -> None:
    smile = action_units({"mouthSmile_L": 0.9, "mouthSmile_R": 0.8})
    assert smile["AU12"] == 1
    assert sum(smile.values()) == 1
    assert action_units({"eyeBlink_L": 1.0})["AU43"] == 0  # a wink
    assert action_units({"eyeBlink_L": 1.0, "eyeBlink_R": 1.0})["AU43"] == 1
    assert action_units({"noseSneer_R": 0.8})["AU9"] == 1
    chewing = action_units({"jawOpen": 0.6, "mouthClose": 0.6})
    assert (chewing["AU25"], chewing["AU26"]) == (0, 1)


FEAR = {"browInnerUp": 0.8, "eyeWide_L": 0.8, "eyeWide_R": 0.7, "mouthStretch_L": 0.6}


@pytest.mark.parametrize(
    ("weights", "label"),
    [
        ({}, "neutral"),
        ({"eyeLookUp_L": 0.7, "eyeBlink_R": 0.3}, "neutral"),
        (FEAR, "fear"),
        ({"noseSneer_L": 0.9, "mouthUpperUp_L": 0.5, "browDown_L": 0.4}, "disgust"),
        ({"mouthSmile_L": 0.9, "cheekSquint_R": 0.5}, "happiness"),
        ({"mouthSmile_L": 0.2, "cheekSquint_R": 0.2}, None),  # weak
        ({**FEAR, "mouthFrown_L": 0.8}, None),  # mixed
        ({"jawOpen": 0.9}, None),  # speech or a yawn
    ],
)
def test_an_expression_is_named_where_it_is_clearly_one(weights: dict[str, float], label: str | None) -> None:
    assert posed_expression(weights) == label
    assert label is None or label in CATALOGUE["expression"].labels


def test_drawn_expressions_are_weights_that_the_head_has() -> None:
    names = ("jawOpen", "mouthSmile_L", "mouthSmile_R", "eyeBlink_L", "eyeBlink_R", "eyeLookUp_L")
    rng = np.random.default_rng(0)
    for _ in range(200):
        weights = draw_expression(rng, names=names)
        assert set(weights) <= set(names)
        assert all(0 <= weight <= 1 for weight in weights.values())


def test_drawn_scenes_keep_to_the_limits_and_vary() -> None:
    rng = np.random.default_rng(0)
    scenes = [draw_scene(rng, size=384, identities=10, names=("jawOpen",)) for _ in range(400)]
    angles = np.array([scene.angles for scene in scenes])
    assert (np.abs(angles) <= LIMITS).all()
    assert (np.abs(angles[:, 0]) < 20).mean() > 0.4  # most are near frontal
    assert (np.abs(angles[:, 0]) > 45).mean() > 0.05
    assert {scene.hair for scene in scenes} == set(HAIR)
    assert {scene.hat for scene in scenes} == set(HATS)
    assert {scene.beard for scene in scenes} == set(BEARDS)
    assert {scene.occluder for scene in scenes} == set(OCCLUDERS)


def test_the_same_scene_gives_the_same_picture_and_another_seed_another(renderer: Renderer) -> None:
    one = workers.draw(renderer, number=3, size=160, seed=1)
    again = workers.draw(renderer, number=3, size=160, seed=1)
    other = workers.draw(renderer, number=3, size=160, seed=2)
    np.testing.assert_array_equal(one.pixels, again.pixels)
    np.testing.assert_array_equal(one.mask, again.mask)
    assert one.labels == again.labels
    assert one.labels["head_pose"] != other.labels["head_pose"]


def test_a_background_comes_from_the_photos_given(renderer: Renderer, tmp_path: Path) -> None:
    green = np.zeros((64, 64, 3), np.uint8)
    green[..., 1] = 200
    cv2.imwrite(str(tmp_path / "green.png"), green)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    photos = find_photos(tmp_path)
    assert [path.name for path in photos] == ["broken.png", "green.png"]
    shares = []
    for seed in range(30):
        drawn = draw_background(np.random.default_rng(seed), size=32, photos=photos)
        assert drawn.shape == (32, 32, 3)
        shares.append(drawn[..., 1].mean() > 10 * drawn[..., [0, 2]].mean() > -1)
    assert any(shares)


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no picture"):
        find_photos(tmp_path)
