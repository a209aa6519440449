"""Small pictures of a report: upright, without metadata, and crops that show the face."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qface_client.cli.report.pictures import CROP_SIDE, THUMBNAIL_SIDE, media_type, small_pictures
from qface_client.errors import InvalidInput
from tests.helpers.written_reports import pattern

ORIENTATION, DESCRIPTION = 0x0112, 0x010E


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def halves(path: Path, *, orientation: int = 1) -> None:
    """A red upper half, a blue lower one, 800 x 400, as a telephone would store it turned."""
    pixels = np.zeros((400, 800, 3), np.uint8)
    pixels[:200, :, 0], pixels[200:, :, 2] = 255, 255
    upright, exif = Image.fromarray(pixels), Image.Exif()
    exif[ORIENTATION], exif[DESCRIPTION] = orientation, "where I live"
    (upright.rotate(90, expand=True) if orientation == 6 else upright).save(path, quality=95, exif=exif)


@pytest.mark.parametrize("orientation", [1, 6])
def test_thumbnails_are_upright_and_have_no_metadata(tmp_path: Path, orientation: int) -> None:
    halves(tmp_path / "a.jpg", orientation=orientation)
    made = small_pictures(str(tmp_path / "a.jpg"), name="a.jpg", size=(800, 400), boxes=[(100, 20, 180, 100)])
    shown = opened(made.thumbnail)
    assert shown.size == (THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2)
    red, _, blue = np.asarray(shown.convert("RGB"))[10, 10]
    assert red > 200
    assert blue < 60
    assert not shown.getexif()
    assert b"where I live" not in made.thumbnail
    assert media_type(made.thumbnail) == f"image/{(shown.format or '').lower()}"


def test_a_crop_shows_its_face_at_full_detail_however_large_the_photo_is(tmp_path: Path) -> None:
    large = Image.new("RGB", (4000, 3000), (10, 10, 10))
    large.paste(pattern(1, (60, 60)), (2000, 1000))
    large.save(tmp_path / "large.jpg", quality=95)
    box = (2000.0, 1000.0, 2060.0, 1060.0)
    made = small_pictures(str(tmp_path / "large.jpg"), name="large.jpg", size=large.size, boxes=[box])
    crop = np.asarray(opened(made.crops[0]).convert("RGB"), np.int32)
    assert crop.shape == (CROP_SIDE, CROP_SIDE, 3)
    expected = np.asarray(large.crop((1988, 988, 2072, 1072)).resize((CROP_SIDE, CROP_SIDE)), np.int32)
    assert np.abs(crop - expected).mean() < 12


def test_a_box_at_the_edge_has_a_crop_of_the_usual_size(tmp_path: Path) -> None:
    pattern(2).save(tmp_path / "a.png")
    boxes = [(-20.0, -20.0, 30.0, 30.0), (-500.0, -500.0, 900.0, 900.0), (99.5, 79.5, 99.6, 79.6)]
    made = small_pictures(str(tmp_path / "a.png"), name="a.png", size=(100, 80), boxes=boxes)
    assert {opened(crop).size for crop in made.crops} == {(CROP_SIDE, CROP_SIDE)}


def test_a_picture_of_one_colour_has_no_hash_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), (3, 4, 5)).save(data, "PNG")
    assert small_pictures(data.getvalue(), name="-", size=(64, 64), boxes=[]).photo_hash is None
    with pytest.raises(InvalidInput, match="can't be shown"):
        small_pictures(data.getvalue()[:60], name="-", size=(64, 64), boxes=[])
