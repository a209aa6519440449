"""A photo decoded at a part of its size shows the same, and places in it are those of the full photo."""

import struct
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from build.detector import find_detector
from runtime.detect.detector_engine import DetectorEngine, load_detector
from runtime.detect.faces import find_faces
from runtime.image import photo as photo_module
from runtime.image.containers import Picture
from runtime.image.crops import crop_of
from runtime.image.decode import decode_image, decode_picture
from runtime.image.photo import Photo, copy_of
from tests.helpers.encoded_pictures import encode
from tests.helpers.paths import ASTRONAUT
from tests.helpers.requests import BOX, LANDMARKS

ENLARGED = 8


def turned(pixels: NDArray[Any], orientation: int) -> bytes:
    """A picture (BGR) as a JPEG that is stored so that its Exif orientation makes it upright again."""
    if orientation in (2, 3, 6, 7):
        pixels = cv2.flip(pixels, 1)
    if orientation in (3, 4, 7, 8):
        pixels = cv2.flip(pixels, 0)
    if orientation >= 5:
        pixels = cv2.transpose(pixels)
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    tag = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + tag + bytes(4)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


@pytest.fixture(scope="module")
def enlarged() -> Mapping[int, bytes]:
    """The astronaut enlarged to 3,997 x 2,997 pixels, neither a multiple of a scale, by Exif orientation."""
    small = cv2.imread(str(ASTRONAUT))
    large = cv2.resize(small, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
    return {orientation: turned(large[:2997, :3997], orientation) for orientation in range(1, 9)}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_crops_and_maps_of_a_reduced_photo_are_those_of_the_full_one(
    enlarged: Mapping[int, bytes], orientation: int
) -> None:
    full = decode_image(enlarged[orientation])
    landmarks, box = (LANDMARKS + 0.5) * ENLARGED - 0.5, BOX * ENLARGED
    for name, size, scale in (("aligned", 56, 8), ("box", 112, 4), ("aligned", 224, 2)):
        photo = Photo(enlarged[orientation])
        assert (photo.width, photo.height) == (3997, 2997)
        crop, back = crop_of(name)(photo, box=box, landmarks=landmarks, size=size)
        expected, expected_back = crop_of(name)(full, box=box, landmarks=landmarks, size=size)
        np.testing.assert_array_equal(back, expected_back)
        assert photo.reduced(longer=1).scale == scale, "it was decoded for a crop of twice the pixels, a side"
        assert np.abs(crop.astype(int) - expected).mean() < 0.5
        assert moved(crop, expected) < 0.01


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_copy_states_where_it_lies_in_the_photo(enlarged: Mapping[int, bytes], orientation: int) -> None:
    full, photo = decode_image(enlarged[orientation]), Photo(enlarged[orientation])
    for part, size in ((None, (480, 360)), ((1205, 403, 2201, 1399), (96, 96))):
        expected = copy_of(full, size=size, part=part)
        copy = copy_of(photo, size=size, part=part)
        assert copy.pixels.shape == expected.pixels.shape
        # From the expected copy's pixel centres to the other's.
        scale = copy.scale / expected.scale
        shift = copy.offset - 0.5 - scale * (expected.offset - 0.5)
        back = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(copy.pixels, back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        assert moved(np.asarray(seen, np.uint8), expected.pixels) < 0.02
        corners = np.array(part or (0, 0, 3997, 2997)).reshape(2, 2)
        # What it shows begins and ends with decoded pixels: here of 4 and of 8.
        assert (np.abs(corners * copy.scale + copy.offset - [[0, 0], size]) < 1).all()


@pytest.fixture(scope="module")
def detector() -> DetectorEngine:
    return load_detector(find_detector(), threads=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_faces_found_in_a_reduced_photo_lie_where_they_do_in_the_full_one(
    enlarged: Mapping[int, bytes], detector: DetectorEngine, orientation: int
) -> None:
    photo = Photo(enlarged[orientation])
    found = find_faces(photo, detector.infer)
    expected = find_faces(decode_image(enlarged[orientation]), detector.infer)
    assert photo.reduced(longer=1).scale == 4, "it was decoded for the look that needs most"
    face = float(np.ptp(BOX)) * ENLARGED
    assert np.abs(found.boxes[0] - expected.boxes[0]).max() < 0.01 * face
    assert np.abs(found.landmarks[0] - expected.landmarks[0]).max() < 0.01 * face


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_mirror_image_of_a_photo_is_decoded_as_it_is(
    enlarged: Mapping[int, bytes], orientation: int
) -> None:
    photo = Photo(enlarged[orientation])
    before = photo.mirrored().reduced(longer=300)
    seen = photo.reduced(longer=300)
    after = photo.mirrored().reduced(longer=300)
    np.testing.assert_array_equal(before.pixels, seen.pixels[:, ::-1])
    np.testing.assert_array_equal(after.pixels, before.pixels)
    assert before.offset == after.offset == (3997 - 1000 * 4 - seen.offset[0], seen.offset[1])


def test_a_crop_that_shows_all_of_its_pixels_is_made_of_the_full_photo(
    enlarged: Mapping[int, bytes],
) -> None:
    photo = Photo(enlarged[6])
    landmarks = (LANDMARKS + 0.5) * ENLARGED - 0.5
    crop, _ = crop_of("aligned")(photo, landmarks=landmarks, size=448)
    expected, _ = crop_of("aligned")(photo.pixels(), landmarks=landmarks, size=448)
    np.testing.assert_array_equal(crop, expected)
    np.testing.assert_array_equal(photo.pixels(), decode_image(enlarged[6]))


def test_no_scale_is_decoded_twice_nor_a_coarser_one_than_there_is(
    enlarged: Mapping[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []

    def decode(picture: Picture, *, scale: int) -> NDArray[np.uint8]:
        decoded.append(scale)
        return decode_picture(picture, scale=scale)

    monkeypatch.setattr(photo_module, "decode_picture", decode)
    photo = Photo(enlarged[1])
    assert decoded == []
    for longer, width in ((900, 1000), (1000, 1000), (1001, 1999), (300, 1000), (1999, 1999)):
        assert photo.pixels(longer=longer).shape[1] == width
    assert photo.pixels(longer=5000) is photo.pixels()
    assert decoded == [4, 2, 1]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_formats_are_decoded_whole(photo: Image.Image, kind: str) -> None:
    data = encode(photo, kind)
    np.testing.assert_array_equal(Photo(data).pixels(longer=4), decode_image(data))


def moved(picture: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    """By how many pixels a picture lies beside another, of which it is else a copy."""
    one, other = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float64) for each in (picture, expected))
    slopes = np.stack([slope.ravel() for slope in np.gradient(other)], axis=1)
    return float(np.hypot(*np.linalg.lstsq(slopes, (one - other).ravel(), rcond=None)[0]))
