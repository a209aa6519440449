"""Faces for a quantiser come out of a directory of pictures, and too few are refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import build.lowering.calibration_faces
from build.errors import BuildError
from build.lowering.calibration_faces import calibration_faces
from tests.helpers.paths import ASTRONAUT

SIZE = 32
PHOTO = ASTRONAUT


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three faces are enough."""
    monkeypatch.setattr(build.lowering.calibration_faces, "CALIBRATION_FACES", 3)


def crop(path: Path, value: int, size: int = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size, size, 3), value, np.uint8))
    return path


def test_crops_are_taken_as_they_are_and_photos_are_aligned(tmp_path: Path, few: None) -> None:
    for number in (3, 1, 2):
        crop(tmp_path / "below" / f"{number}.png", number)
    crop(tmp_path / "b.PNG", 9)
    (tmp_path / "c.jpg").write_bytes(PHOTO.read_bytes())
    (tmp_path / "d.jpg").write_bytes(b"no picture")
    crop(tmp_path / "e.png", 128, size=200)
    (tmp_path / "notes.txt").write_text("these are pictures")
    said: list[str] = []
    faces = calibration_faces(tmp_path, size=SIZE, detector=None, log=said.append)
    assert faces.shape == (5, SIZE, SIZE, 3)
    assert faces.dtype == np.uint8
    assert faces[:4, 0, 0, 0].tolist() == [9, 1, 2, 3]
    assert faces[4].std() > 20  # the astronaut
    assert said == ["5 faces to calibrate on, from 7 pictures (1 show no face, 1 can't be read)"]


def test_of_many_pictures_evenly_spread_ones_are_taken(
    tmp_path: Path, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build.lowering.calibration_faces, "MOST", 3)
    for number in range(9):
        crop(tmp_path / f"{number}.png", number)
    faces = calibration_faces(tmp_path, size=SIZE, detector=None, log=lambda text: None)
    assert faces[:, 0, 0, 0].tolist() == [0, 4, 8]


def test_too_few_pictures_or_faces_are_refused_with_both_numbers(tmp_path: Path, few: None) -> None:
    def refusal() -> str:
        with pytest.raises(BuildError) as refused:
            calibration_faces(tmp_path, size=SIZE, detector=None, log=lambda text: None)
        return str(refused.value)

    crop(tmp_path / "1.png", 1)
    assert "holds 1 pictures" in refusal()
    assert "3 or more" in refusal()
    for name in ("2.jpg", "3.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert "3 pictures" in refusal()
    assert "give 1 faces" in refusal()
    assert "CALIBRATION=" in refusal()


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", crop(tmp_path / "file.png", 1)):
        with pytest.raises(BuildError, match=r"not a directory of pictures.*CALIBRATION="):
            calibration_faces(path, size=SIZE, detector=None, log=lambda text: None)
