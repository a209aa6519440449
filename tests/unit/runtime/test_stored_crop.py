"""A crop that is cut from the stored pixels is the one that is cut from the upright picture."""

import importlib
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime.image.align import align_face, photo_to_crop
from runtime.image.containers import read_container
from runtime.image.decode import decode_image
from runtime.image.stored_crop import stored_crop
from tests.helpers.encoded_pictures import STORED_AS, encode
from tests.helpers.requests import BOX, LANDMARKS, astronaut

SIZE = 112
NOWHERE = np.array([[1, 0, 5000], [0, 1, 5000]], np.float32)


def jpeg(width: int = 400, height: int = 512, *, orientation: int = 1, scale: float = 1.0) -> bytes:
    """The portrait's left part, as it looks after its Exif orientation is applied."""
    upright = Image.fromarray(astronaut()).crop((0, 0, width, height))
    upright = upright.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    stored = upright.transpose(STORED_AS[orientation]) if orientation in STORED_AS else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(stored, "JPEG", quality=95, subsampling=0, exif=exif)


def both(data: bytes, **place: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The crop of the upright picture, and the one of the stored pixels."""
    warped = importlib.import_module("runtime.serving.warp").warped
    image, picture = decode_image(data), read_container(data)
    height, width = image.shape[:2]
    plan = stored_crop(picture, photo_to_crop(width=width, height=height, size=SIZE, **place), size=SIZE)
    assert plan is not None
    wanted, _ = align_face(image, size=SIZE, **place)
    return wanted, warped(np.frombuffer(data, np.uint8), plan.window, plan.matrix)


def difference(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> float:
    return float(np.abs(np.subtract(*pair, dtype=np.float64)).mean())


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_the_same_face_however_the_picture_is_stored(orientation: int) -> None:
    data = jpeg(orientation=orientation)
    assert decode_image(data).shape[:2] == (512, 400)
    assert difference(both(data, landmarks=LANDMARKS)) < 0.6


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    "place",
    [
        {"landmarks": LANDMARKS},
        {"box": BOX},
        {},  # the whole picture
        {"box": [-60, -40, 160, 180]},  # cut by the picture's edge
        {"box": [0, 0, 12, 12]},  # enlarged
    ],
)
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_it_is_the_same_however_large_the_picture_and_wherever_the_face(
    place: dict[str, Any], scale: float
) -> None:
    scaled = {name: np.asarray(value) * scale for name, value in place.items()}
    assert difference(both(jpeg(orientation=6, scale=scale), **scaled)) < 0.6


def test_only_the_part_that_shows_is_decoded_and_it_is_never_enlarged_before_the_warp() -> None:
    data = jpeg(scale=4.0)
    for place in ({"landmarks": LANDMARKS * 4}, {"box": BOX * 4 / 16}, {}):
        forward = photo_to_crop(width=1600, height=2048, size=SIZE, **place)
        plan = stored_crop(read_container(data), forward, size=SIZE)
        assert plan is not None
        start, part, doubled, reduced, crop = plan.window
        assert (start >= 0).all()
        assert (start + part <= (2048, 1600)).all()
        assert (reduced <= doubled).all()
        assert (doubled <= part).all()
        assert crop.tolist() == [SIZE, SIZE]
    forward = photo_to_crop(width=1600, height=2048, size=SIZE, landmarks=LANDMARKS * 4)
    face = stored_crop(read_container(data), forward, size=SIZE)
    assert face is not None
    assert face.window[1].prod() < 1600 * 2048 / 4


def test_a_crop_that_shows_nothing_of_the_picture_has_nothing_to_decode() -> None:
    assert stored_crop(read_container(jpeg()), NOWHERE, size=SIZE) is None


@pytest.mark.parametrize(
    ("mode", "options", "ordinary"),
    [
        ("L", {}, True),
        ("RGB", {"subsampling": 0}, True),
        ("RGB", {"subsampling": 1}, True),
        ("RGB", {"subsampling": 2}, True),
        ("RGB", {"subsampling": 2, "progressive": True}, True),
        ("RGB", {"keep_rgb": True}, False),
        ("CMYK", {}, False),
    ],
)
def test_a_jpeg_is_ordinary_where_every_decoder_makes_the_same_of_it(
    mode: str, options: dict[str, Any], ordinary: bool
) -> None:
    with Image.open(io.BytesIO(jpeg())) as photo:
        data = encode(photo.convert(mode), "JPEG", **options)
    assert read_container(data).ordinary is ordinary


def test_a_jpeg_of_rare_sampling_or_coding_is_not_ordinary() -> None:
    frame = jpeg().index(b"\xff\xc0")
    for at, value in ((1, 0xC9), (11, 0x41), (14, 0x21)):  # arithmetic coding; colour at a quarter; uneven
        data = bytearray(jpeg())
        assert data[frame + at] in (0xC0, 0x11)
        data[frame + at] = value
        assert not read_container(bytes(data)).ordinary


def test_no_other_format_is_ordinary() -> None:
    with Image.open(io.BytesIO(jpeg())) as photo:
        for kind in ("PNG", "WEBP", "PPM"):
            assert not read_container(encode(photo, kind)).ordinary
