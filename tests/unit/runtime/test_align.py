"""Alignment: where a face lands in the crop, and the way back."""

import cv2
import numpy as np
import pytest

from runtime.errors import InvalidBox, InvalidLandmarks
from runtime.image.align import (
    CROP_SCALE,
    align_face,
    in_plane_degrees,
    invert,
    photo_to_crop,
    transform,
    warp,
)

NAN = float("nan")
# An upright frontal face with 40 pixels between the eyes.
FACE = np.array([[80.0, 100], [120, 100], [100, 122], [88, 140], [112, 140]])


def _turned(points: np.ndarray, degrees: float) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((150, 150), -degrees, 1.0)
    return transform(points, matrix)


@pytest.mark.parametrize("degrees", [0, 30, -75, 180])
def test_eyes_become_level_and_the_face_central_however_the_head_is_turned(degrees: float) -> None:
    points = _turned(FACE, degrees)
    forward = photo_to_crop(width=300, height=300, landmarks=points, size=112)
    eyes = transform(points[:2], forward)
    assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=1e-3)
    assert eyes[1, 0] - eyes[0, 0] == pytest.approx(112 / CROP_SCALE, abs=1e-3)
    center = (eyes.mean(axis=0) + transform(points[3:], forward).mean(axis=0)) / 2
    np.testing.assert_allclose(center, [55.5, 55.5], atol=1e-3)
    assert (
        in_plane_degrees(invert(forward)) == pytest.approx((degrees + 180) % 360 - 180, abs=1e-3)
        or degrees == 180
    )


def test_a_face_in_profile_keeps_its_size() -> None:
    """Eyes close together in the picture, as of a head turned aside; the mouth gives the scale."""
    profile = FACE.copy()
    profile[:2, 0] = 98, 104
    forward = photo_to_crop(width=300, height=300, landmarks=profile, size=112)
    zoom = np.sqrt(np.linalg.det(forward[:, :2]))
    assert zoom == pytest.approx(112 / (CROP_SCALE * 40), rel=0.01)


def test_the_way_back_undoes_the_way_in() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    _, back = align_face(image, landmarks=_turned(FACE, 33), size=112)
    forward = photo_to_crop(width=300, height=300, landmarks=_turned(FACE, 33), size=112)
    points = np.random.default_rng(0).uniform(0, 300, (20, 2))
    np.testing.assert_allclose(transform(transform(points, forward), back), points, atol=1e-2)


def test_the_crop_shows_what_the_map_says() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    cv2.circle(image, (120, 100), 4, (255, 0, 0), -1)
    crop, back = align_face(image, landmarks=FACE, size=112)
    y, x = np.argwhere(crop[..., 0] > 128).mean(axis=0)
    np.testing.assert_allclose(transform([x, y], back), [120, 100], atol=0.5)


def test_a_large_photo_gives_the_crop_of_the_same_face_in_a_small_one() -> None:
    rng = np.random.default_rng(0)
    small = cv2.GaussianBlur(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8), (0, 0), 3)
    large = cv2.resize(small, (2400, 2400), interpolation=cv2.INTER_CUBIC)
    a, _ = align_face(small, landmarks=FACE, size=112)
    b, _ = align_face(large, landmarks=(FACE + 0.5) * 8 - 0.5, size=112)
    assert np.abs(a.astype(int) - b).mean() < 2


def test_without_landmarks_the_box_says_where_the_face_is() -> None:
    forward = photo_to_crop(
        width=300, height=300, box=[50, 60, 150, 180], landmarks=np.full((5, 2), NAN), size=112
    )
    np.testing.assert_allclose(transform([100, 120], forward), [55.5, 55.5], atol=1e-3)
    assert forward[0, 1] == forward[1, 0] == 0


def test_without_box_and_landmarks_the_whole_picture_is_the_crop() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    crop, back = align_face(image, box=[NAN] * 4, landmarks=np.full((5, 2), NAN), size=112)
    np.testing.assert_array_equal(crop, image)
    np.testing.assert_allclose(back, [[1, 0, 0], [0, 1, 0]], atol=1e-6)


def test_eyes_alone_are_enough() -> None:
    points = np.full((5, 2), NAN)
    points[:2] = FACE[:2]
    forward = photo_to_crop(width=300, height=300, landmarks=points, size=112)
    full = photo_to_crop(width=300, height=300, landmarks=FACE, size=112)
    np.testing.assert_allclose(forward, full, atol=0.05 * 112)


def test_a_very_long_picture_is_cropped_too() -> None:
    image = np.zeros((200, 40_000, 3), np.uint8)
    image[:, 35_000:35_200] = 90
    crop, _ = align_face(image, box=[35_050, 60, 35_150, 160], size=112)
    assert crop[56, 56, 0] == 90
    squeezed, _ = align_face(image, size=112)
    assert squeezed.shape == (112, 112, 3)
    assert squeezed[:, 98].mean() > 20


def test_a_picture_is_reduced_by_area_along_the_axis_that_shrinks_and_left_alone_along_the_other() -> None:
    rows = np.zeros((112, 900, 3), np.uint8)
    rows[::4] = rows[1::4] = 255
    crop, _ = align_face(rows, size=112)
    assert np.abs(crop.astype(int) - rows[:, :112]).max() <= 1
    stripes = np.zeros((112, 900, 3), np.uint8)
    stripes[:, ::2] = 255
    crop, _ = align_face(stripes, size=112)
    assert crop.std() < 10


@pytest.mark.parametrize("shift", [(-900, 0), (0, 420), (500, 500)])
def test_a_face_that_lies_outside_the_picture_is_refused(shift: tuple[int, int]) -> None:
    with pytest.raises(InvalidLandmarks, match="outside"):
        photo_to_crop(width=300, height=300, landmarks=FACE + shift, size=112)
    with pytest.raises(InvalidBox, match="outside"):
        photo_to_crop(width=512, height=512, box=[511.99, 0, 600, 100], size=112)


def test_a_face_cut_by_the_picture_s_edge_is_not_refused() -> None:
    forward = photo_to_crop(width=300, height=300, landmarks=FACE - [100, 0], size=112)
    np.testing.assert_allclose(transform([0, 120], forward), [55.5, 55.5], atol=0.5)


def test_what_lies_outside_the_photo_is_black() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    crop = warp(image, np.array([[1.0, 0, 50], [0, 1, 0]]), size=100)
    assert (crop[:, :49] == 0).all()
    assert (crop[:, 51:] == 200).all()


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ([0, 0, float("inf"), 50], "not finite"),
        ([NAN, 0, 50, 50], "not finite"),
        ([50, 50, 50, 80], "empty"),
        ([80, 50, 50, 80], "empty"),
        ([400, 10, 500, 90], "outside the picture of 300x200"),
        ([-90, 10, -10, 90], "outside"),
        ([-1e6, -1e6, 1e6, 1e6], "larger"),
        ([1, 2, 3], "shape"),
    ],
)
def test_a_bad_box_is_named(box: list[float], says: str) -> None:
    with pytest.raises(InvalidBox, match=says):
        photo_to_crop(width=300, height=200, box=box, size=112)


def test_bad_landmarks_are_named() -> None:
    one_point = np.full((5, 2), 100.0)
    with pytest.raises(InvalidLandmarks, match="within"):
        photo_to_crop(width=300, height=300, landmarks=one_point, size=112)
    infinite = FACE.copy()
    infinite[2, 0] = np.inf
    with pytest.raises(InvalidLandmarks, match="infinite"):
        photo_to_crop(width=300, height=300, landmarks=infinite, size=112)
    with pytest.raises(InvalidLandmarks, match="far outside"):
        photo_to_crop(width=300, height=300, landmarks=FACE + 5000, size=112)
    with pytest.raises(InvalidLandmarks, match="shape"):
        photo_to_crop(width=300, height=300, landmarks=FACE[:3], size=112)
