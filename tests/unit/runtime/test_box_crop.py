"""FaceXFormer's crop: the grown box as a square, sampled as Pillow does, and the way back."""

import cv2
import numpy as np
import pytest
from PIL import Image

from runtime.errors import InvalidBox, InvalidLandmarks
from runtime.image.align import transform
from runtime.image.box_crop import crop_box, resize_bicubic, shown_part
from runtime.image.crops import CROPS, crop_of
from tests.helpers import requests as asking

FACE = np.array([[90, 100], [130, 100], [110, 120], [95, 140], [125, 140]], np.float32)
NO_BOX, NO_POINTS = np.full(4, np.nan), np.full((5, 2), np.nan)


def test_the_box_grows_by_a_quarter_on_each_side_and_loses_its_fractions() -> None:
    assert shown_part(width=500, height=400, box=[100.5, 60, 200.5, 100.9]) == (75, 49, 225, 111)


def test_the_crop_ends_at_the_picture_s_edges() -> None:
    assert shown_part(width=150, height=90, box=[-20, 10, 120, 80]) == (0, 0, 150, 90)
    assert shown_part(width=150, height=90, box=[149.5, 89.5, 160, 99]) == (146, 87, 150, 90)
    assert shown_part(width=150, height=90, box=[-1, -1, 0.3, 0.2]) == (0, 0, 1, 1)


def test_landmarks_take_the_place_of_a_box_and_without_both_the_picture_is_the_crop() -> None:
    x0, y0, x1, y1 = shown_part(width=300, height=300, box=NO_BOX, landmarks=FACE)
    assert x0 < 90 - 20 < 130 + 20 < x1
    assert y0 < 100 - 20 < 140 + 20 < y1
    assert shown_part(width=300, height=200, box=NO_BOX, landmarks=NO_POINTS) == (0, 0, 300, 200)
    assert shown_part(width=300, height=200) == (0, 0, 300, 200)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"box": [400, 0, 500, 50]}, InvalidBox, "lies outside the picture of 300x200"),
        ({"box": [10, 10, 10, 50]}, InvalidBox, "is empty"),
        ({"box": [0, 0, np.inf, 50]}, InvalidBox, "is not finite"),
        ({"landmarks": FACE + np.float32(400)}, InvalidLandmarks, "send the landmarks of this picture"),
        ({"landmarks": np.zeros((5, 2))}, InvalidLandmarks, "send the landmarks of one face"),
    ],
)
def test_what_can_be_no_face_of_the_picture_is_refused(
    given: dict[str, np.ndarray], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        shown_part(width=300, height=200, **given)


@pytest.mark.parametrize("side", [1, 3, 60, 224, 300, 500, 880])
def test_pixels_are_those_that_pillow_samples(side: int) -> None:
    part = cv2.resize(asking.astronaut(), (side, side + 5), interpolation=cv2.INTER_AREA)
    expected = np.asarray(Image.fromarray(part).resize((224, 224), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(resize_bicubic(part, size=224) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(2000, 1800), (3000, 90), (40, 20000)])
def test_large_pictures_differ_by_little(shape: tuple[int, int]) -> None:
    part = cv2.resize(asking.astronaut(), shape, interpolation=cv2.INTER_LINEAR)
    expected = np.asarray(Image.fromarray(part).resize((112, 112), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(resize_bicubic(part, size=112) - expected).mean() < 1.5


def test_the_map_leads_back_to_the_photo() -> None:
    photo = np.zeros((400, 500, 3), np.uint8)
    photo[200:240, 300:360] = 255
    crop, back = crop_box(photo, box=[250, 150, 400, 260], size=224)
    white = np.argwhere(crop[..., 0] > 127)[:, ::-1]
    low, high = transform(white.min(axis=0) - 0.5, back), transform(white.max(axis=0) + 0.5, back)
    np.testing.assert_allclose(low + 0.5, [300, 200], atol=1)
    np.testing.assert_allclose(high + 0.5, [360, 240], atol=1)


def test_a_contract_names_its_crop() -> None:
    assert crop_of("aligned") is CROPS["aligned"]
    assert crop_of("box") is crop_box
    with pytest.raises(ValueError, match="unknown kind of crop 'oval': known are aligned, box"):
        crop_of("oval")
