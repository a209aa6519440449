"""Which face is meant, and labels that move into its crop."""

from typing import Any

import numpy as np
import pytest

from runtime.detect.faces import Detections
from runtime.image.align import transform
from runtime.pose import angles_from_rotation, rotate_in_plane, rotation_from_angles
from training.data.crops import (
    crop_with_margin,
    labelled_five_points,
    select_face,
    transform_label,
    transform_mask,
)
from training.data.sample import Sample

SIZE, MARGIN = 56, 6
SIDE = SIZE + 2 * MARGIN


def _five(x: float, y: float, *, scale: float) -> np.ndarray:
    """Eyes `scale` apart around (x, y), nose and mouth below."""
    return np.array([[-0.5, -0.5], [0.5, -0.5], [0, 0], [-0.4, 0.5], [0.4, 0.5]]) * scale + [x, y]


def _found(*places: tuple[float, float, float]) -> Detections:
    """Faces at (x, y) with the eyes so far apart; the mouth's middle stands for its corners, as it does."""
    points = np.array([_five(x, y, scale=scale) for x, y, scale in places]).reshape(-1, 5, 2)
    points[:, 3:] = points[:, 3:].mean(axis=1, keepdims=True)
    middle = points.mean(axis=1)
    half = np.array([[scale] for *_, scale in places]).reshape(-1, 1)
    return Detections(
        boxes=np.concatenate([middle - half, middle + half], axis=1).astype(np.float32),
        scores=np.ones(len(places), np.float32),
        landmarks=points.astype(np.float32),
        faces_found=len(places),
        smallest_face=16.0,
    )


def _x(found: Detections, **known: Any) -> float | None:
    """Where the face is that is selected, by its nose."""
    face = select_face(found, **known)
    return None if face is None else float(found.landmarks[face, 2, 0])


def test_the_largest_face_over_the_centre_is_meant_unless_something_is_known() -> None:
    found = _found((100, 100, 20), (105, 100, 40), (300, 100, 90))
    size = {"width": 200, "height": 200}
    assert _x(found, **size) == 105
    assert _x(found, **size, anywhere=True) == 300
    assert select_face(_found((30, 30, 10)), **size) is None
    assert select_face(_found(), **size) is None


def test_a_box_means_the_face_in_it() -> None:
    found = _found((50, 50, 20), (150, 60, 20), (152, 60, 4))
    size = {"width": 200, "height": 200}
    assert _x(found, **size, box=(130, 40, 170, 80)) == 150
    assert _x(found, **size, box=(20, 20, 90, 90)) == 50
    assert select_face(found, **size, box=(0, 120, 60, 200)) is None


def test_known_landmarks_mean_the_face_that_has_them_and_not_one_of_another_size() -> None:
    found = _found((100, 100, 60), (160, 100, 20))
    size = {"width": 200, "height": 200}
    assert _x(found, **size, five=_five(158, 102, scale=22)) == 160
    assert select_face(found, **size, five=_five(100, 100, scale=6)) is None
    cut = _five(158, 102, scale=22)
    cut[3:] = np.nan
    assert _x(found, **size, five=cut) == 160


def test_five_points_follow_from_68_and_are_none_without_eyes() -> None:
    def sample(points: list[list[float] | None]) -> Sample:
        return Sample(
            key="a", picture=lambda: np.zeros(0, np.uint8), split="train", labels={"landmarks": points}
        )

    points: list[list[float] | None] = [[float(i), 2.0 * i] for i in range(68)]
    five = labelled_five_points(sample(points))
    assert five is not None
    assert five[2].tolist() == [30, 60]
    points[48] = None
    five = labelled_five_points(sample(points))
    assert five is not None
    assert np.isnan(five[3]).all()
    points[40] = None
    assert labelled_five_points(sample(points)) is None


@pytest.fixture
def turned() -> np.ndarray:
    """The map into the stored crop of a face that is tilted by 20 degrees, clockwise."""
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    five = _five(0, 0, scale=40) @ turn.T + [120, 90]
    image = np.zeros((200, 240, 3), np.uint8)
    pixels, forward = crop_with_margin(image, five, size=SIZE, margin=MARGIN)
    assert pixels.shape == (SIDE, SIDE, 3)
    return forward


def test_the_crop_is_upright_and_in_the_middle_of_its_margin(turned: np.ndarray) -> None:
    assert transform([120, 90], turned) == pytest.approx([(SIDE - 1) / 2] * 2, abs=0.01)
    assert transform_label("head_pose", [10.0, -5.0, 20.0], turned) == pytest.approx([10, -5, 0], abs=1e-3)


def test_a_turned_picture_turns_the_head_s_rotation_about_the_camera(turned: np.ndarray) -> None:
    angles = [30.0, -20.0, 170.0]
    expected = rotate_in_plane(rotation_from_angles(angles), -20)
    assert transform_label("head_pose", angles, turned) == pytest.approx(
        angles_from_rotation(expected).tolist(), abs=1e-3
    )
    over = transform_label("head_pose", [0.0, 0.0, -170.0], turned)
    assert over == pytest.approx([0, 0, 170], abs=1e-3)  # not -190


def test_points_move_with_the_picture_and_other_labels_do_not(turned: np.ndarray) -> None:
    points = [[120.0, 90.0], None, [10.0, 20.0]]
    found = transform_label("landmarks", points, turned)
    assert found[1] is None
    assert found[2] == pytest.approx(transform([10, 20], turned).tolist(), abs=1e-3)
    assert transform_label("age", [3.0, 4.0], turned) == [3, 4]


def test_a_mask_moves_like_its_picture_and_is_unknown_outside() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[:, 50:] = 7
    mask[:, 90:] = 255
    forward = np.array([[0.5, 0, 20], [0, 0.5, 0]], np.float32)  # half the size, 20 to the right
    crop = transform_mask(mask, forward, side=80)
    assert (crop[:49, :19] == 255).all()
    assert (crop[:49, 21:44] == 0).all()
    assert (crop[:49, 46:64] == 7).all()
    assert (crop[:49, 66:] == 255).all()
    assert (crop[51:] == 255).all()
    assert set(np.unique(crop)) == {0, 7, 255}
    assert (transform_mask(np.full((9, 9), 255, np.uint8), forward, side=8) == 255).all()


def test_of_a_reduced_mask_each_pixel_is_what_takes_most_of_it() -> None:
    mask = np.zeros((400, 400), np.uint8)
    mask[:, ::10] = 3  # a tenth of every crop's pixel: points picked singly would show stripes
    crop = transform_mask(mask, np.array([[0.1, 0, 0], [0, 0.1, 0]], np.float32), side=40)
    assert (crop[2:-2, 2:-2] == 0).all()
