"""Pictures that tables, folders and tars of the tests name."""

from pathlib import Path

import cv2
import pytest

from tests.helpers.paths import ASSETS


@pytest.fixture(scope="module")
def portrait() -> bytes:
    face = cv2.imread(str(ASSETS / "astronaut.jpg"))[40:240, 120:330]
    return bytes(cv2.imencode(".jpg", face)[1].tobytes())


@pytest.fixture
def pictures(tmp_path: Path, portrait: bytes) -> Path:
    """A folder with a.jpg to d.jpg."""
    for name in "abcd":
        (tmp_path / f"{name}.jpg").write_bytes(portrait)
    return tmp_path
