"""Arrays of every usual mode reach the server as a PNG of the same pixels would."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from qface_client._photos import encode, stack_crops
from qface_client.errors import InvalidInput
from runtime.image.decode import decode_image

RANDOM = np.random.default_rng(5)
GREY = RANDOM.integers(0, 256, (31, 17), dtype=np.uint8)
RGB = RANDOM.integers(0, 256, (31, 17, 3), dtype=np.uint8)
RGBA = RANDOM.integers(0, 256, (31, 17, 4), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (31, 17), dtype=np.uint16)
BOOL = RANDOM.integers(0, 2, (31, 17)).astype(bool)


def at_server(photo: Any) -> NDArray[np.uint8]:
    """The pixels that a server sees."""
    return decode_image(encode(photo).data)


def as_png(pixels: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("pixels", [GREY, RGB, RGBA, DEEP, BOOL, RGBA[..., 2:]])
def test_an_array_is_seen_as_its_png(pixels: NDArray[Any]) -> None:
    assert (at_server(pixels) == decode_image(as_png(pixels))).all()


@pytest.mark.parametrize(
    ("pixels", "same"),
    [
        (GREY[..., None], GREY),
        (DEEP.astype(">u2"), DEEP),
        (RGB[::-1, ::2], np.ascontiguousarray(RGB[::-1, ::2])),
        (np.asfortranarray(RGB), RGB),
        (RGB.transpose(1, 0, 2), np.ascontiguousarray(RGB.transpose(1, 0, 2))),
        (RGBA[..., :3], np.ascontiguousarray(RGBA[..., :3])),
        (RGBA[::3], np.ascontiguousarray(RGBA[::3])),
        (np.dstack([RGB, np.full((31, 17), 255, np.uint8)]), RGB),
        (np.dstack([GREY] * 3), GREY),
    ],
)
def test_another_form_of_the_same_pixels_is_seen_alike(pixels: NDArray[Any], same: NDArray[Any]) -> None:
    assert (at_server(pixels) == at_server(same)).all()


def test_transparent_pixels_lie_on_white() -> None:
    assert (at_server(np.zeros((2, 2, 4), np.uint8)) == 255).all()


def test_a_large_array_is_converted_in_strips() -> None:
    tall = np.tile(RGBA, (40, 40, 1))
    assert (at_server(tall) == np.tile(at_server(RGBA), (40, 40, 1))).all()


def test_an_array_is_not_changed() -> None:
    before = RGBA.copy()
    at_server(RGBA)
    assert (before == RGBA).all()


def test_crops_of_any_sort_are_one_tensor() -> None:
    stacked = stack_crops([RGB, Image.fromarray(RGB), as_png(RGB), io.BytesIO(as_png(RGB))])
    assert stacked.shape == (4, 31, 17, 3)
    assert (stacked == RGB).all()
    assert (stack_crops(np.stack([GREY, GREY])) == GREY[..., None]).all()


@pytest.mark.parametrize(
    ("crops", "words"),
    [
        (RGB, r"not \[31, 17, 3\]: of one crop give \[crop\]"),
        (GREY, r"not \[31, 17\]"),
        ("crop.png", r"not str: of one crop give \[crop\]"),
        (Image.fromarray(RGB), "not Image"),
        ([RGB, b"no picture"], "crop 1: can't be read as a picture"),
        ([RGB, 3], "crop 1: a photo is a path, .*not int"),
        ([RGB, RGB.astype(np.float32)], r"crop 1 as an array is .* not float32"),
    ],
)
def test_what_are_no_crops_is_refused(crops: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        stack_crops(crops)


@pytest.mark.parametrize("pixels", [GREY, RGB, RGBA, RGBA[..., 2:]])
def test_16_bits_that_have_the_values_of_8_are_refused_and_as_bright_ones_or_black_they_are_not(
    pixels: NDArray[Any],
) -> None:
    shallow = pixels.astype(np.uint16)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        shallow[..., -1] = 65535  # alpha states nothing of the colours' range
    for photo in (shallow, shallow.astype(">u2")):
        with pytest.raises(InvalidInput, match=r"no value above 255: .* give array.astype\(np.uint8\)"):
            encode(photo)
    with pytest.raises(InvalidInput, match=r"^crop 0 as an array of uint16 .* as dark as that"):
        stack_crops([shallow])
    assert encode(shallow * 0).data.size
    shallow[0, 0] = 256
    assert encode(shallow).data.size
