"""`qface analyze --draw`: which file a photo's drawing is."""

from pathlib import Path

import pytest
from PIL import Image

from qface_client import cli
from qface_client.draw import SMALLEST_SIDE
from tests.helpers.fake_v2_server import FakeServer


def make(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 50)).save(path)


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def no_face(fake: FakeServer) -> None:
    """Nothing takes time but what the tests are about: a photo without a face is not enlarged."""
    fake.faces = 0


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    make(folder / "a.png", folder / "in" / "a.jpg", folder / "in" / "b.bmp")
    return folder


def test_photos_of_a_folder_keep_their_places(url: str, photos: Path, tmp_path: Path) -> None:
    assert cli.main(["analyze", str(photos), "--draw", str(tmp_path / "drawn")]) == 0
    assert tree(tmp_path / "drawn") == ["a.png", "in/a.jpg", "in/b.png"]


def test_a_second_run_draws_over_the_first(url: str, photos: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert cli.main(["analyze", str(photos), "--draw", str(photos / "drawn")]) == 0
    assert tree(photos / "drawn") == ["a.png", "in/a.jpg", "in/b.png"]


@pytest.mark.parametrize(
    ("name", "drawing", "format"),
    [
        ("a.JPEG", "a.jpg", "JPEG"),
        ("a.jfif", "a.jpg", "JPEG"),
        ("a.webp", "a.webp", "WEBP"),
        ("a.tif", "a.png", "PNG"),
    ],
)
def test_a_drawing_has_a_format_that_suits_its_photo(
    url: str, tmp_path: Path, name: str, drawing: str, format: str
) -> None:
    make(tmp_path / name)
    assert cli.main(["analyze", str(tmp_path / name), "--draw", str(tmp_path / "drawn")]) == 0
    assert tree(tmp_path / "drawn") == [drawing]
    with Image.open(tmp_path / "drawn" / drawing) as opened:
        assert opened.format == format
        assert opened.size == (60, 50)


def test_a_photo_with_a_face_is_enlarged(fake: FakeServer, url: str, tmp_path: Path) -> None:
    fake.faces = 1
    make(tmp_path / "a.jpg")
    assert cli.main(["analyze", str(tmp_path / "a.jpg"), "--draw", str(tmp_path / "drawn")]) == 0
    with Image.open(tmp_path / "drawn" / "a.jpg") as opened:
        assert max(opened.size) >= SMALLEST_SIDE


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_file_that_is_no_drawing_is_never_written_over(url: str, tmp_path: Path, name: str) -> None:
    photo, other = tmp_path / name, tmp_path / "drawn" / name
    make(photo, other)
    before = other.read_bytes()
    for _ in range(2):
        assert cli.main(["analyze", str(photo), "--draw", str(tmp_path / "drawn")]) == 0
    assert other.read_bytes() == before
    assert tree(tmp_path / "drawn") == sorted([name, name.replace("a.", "a-2.")])


def test_photos_drawn_into_their_own_folder_stay_as_they_are(url: str, photos: Path) -> None:
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    assert cli.main(["analyze", str(photos), "--draw", str(photos)]) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert tree(photos) == ["a-2.png", "a.png", "in/a-2.jpg", "in/a.jpg", "in/b.bmp", "in/b.png"]


def test_a_drawing_that_cannot_be_written_is_an_error_and_the_answer_is_printed(
    fake: FakeServer, url: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    (drawn / "in").write_text("no folder")
    assert cli.main(["analyze", str(photos), "--draw", str(drawn), "--json"]) == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err.count("the drawing can't be written to") == 2
    assert tree(drawn) == ["a.png", "in"]


def test_quiet_draws_and_prints_nothing(
    url: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["analyze", str(photos), "--draw", str(tmp_path / "drawn"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
