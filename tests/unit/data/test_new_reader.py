"""A data set is one file: dropped into training/data/readers, it is listed, prepared and checked.

It may label a task that was added to the catalogue.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from tests.helpers.paths import ASSETS
from training.data import readers
from training.data.__main__ import main
from training.data.prepared.face_set import FaceSet
from training.tasks import CATALOGUE, Task

FAMILY_ALBUM = '''
"""Ages in the files' names: `20_anna.jpg`."""

from training.data.reader import Expected, Reader
from training.data.sample import BadSample, Sample


def read(source):
    for path in sorted(source.glob("*.jpg")):
        age, _, person = path.stem.partition("_")
        if age.isdecimal():
            labels = {"age": [int(age), int(age)]}
            yield Sample(key=path.name, picture=path, labels=labels, split="train", person=person)
        else:
            yield BadSample(key=path.name, reason="its name is not age_person")


READER = Reader(
    name="family_album",
    title="Family album",
    licence="private",
    tasks=("age",),
    tree="20_anna.jpg",
    expected=Expected(counts={"train": 2}),
    read=read,
)
'''


@pytest.fixture
def folder_of_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A further folder of the package training.data.readers."""
    folder = tmp_path / "readers"
    folder.mkdir()
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(folder)])
    readers.readers.cache_clear()
    yield folder
    readers.readers.cache_clear()


def test_a_new_data_set_is_one_file(
    folder_of_readers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder_of_readers / "family_album.py").write_text(FAMILY_ALBUM)
    (tmp_path / "album").mkdir()
    face = cv2.imread(str(ASSETS / "astronaut.jpg"))[40:240, 120:330]
    for name in ("20_anna.jpg", "31_bert.jpg", "holiday.jpg"):
        assert cv2.imwrite(str(tmp_path / "album" / name), face)

    assert main(["list"]) == 0
    assert "family_album   Family album" in capsys.readouterr().out

    prepare = ["prepare", "family_album", "--source", str(tmp_path / "album"), "--output", str(tmp_path)]
    assert main([*prepare, "--max-unreadable", "0.5"]) == 0
    assert "faces 2 for train; left out 1 bad labels; labels age (human)" in capsys.readouterr().out
    faces = FaceSet(tmp_path / "family_album")
    assert faces.columns["age"].tolist() == [[20, 20], [31, 31]]
    assert faces.persons.tolist() == ["anna", "bert"]

    assert main(["check", str(tmp_path / "family_album")]) == 0
    assert "whole, faces 2 for train" in capsys.readouterr().out


def test_a_data_set_may_label_a_task_that_was_added_to_the_catalogue(
    folder_of_readers: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pain = Task(
        name="pain",
        kind="value",
        labels=("percent",),
        unit="percent",
        queries=1,
        loss="smooth_l1",
        metric="mean_absolute_error",
        limits=(0.0, 100.0),
    )
    monkeypatch.setitem(CATALOGUE, "pain", pain)
    album = FAMILY_ALBUM.replace("family_album", "pain_album").replace('"age"', '"pain"')
    (folder_of_readers / "pain_album.py").write_text(album)
    face = cv2.imread(str(ASSETS / "astronaut.jpg"))[40:240, 120:330]
    for name in ("20_anna.jpg", "80_bert.jpg", "101_carl.jpg"):
        assert cv2.imwrite(str(tmp_path / name), face)

    prepare = ["prepare", "pain_album", "--source", str(tmp_path), "--output", str(tmp_path)]
    assert main([*prepare, "--max-unreadable", "0.5"]) == 0
    assert "left out 1 bad labels; labels pain (human)" in capsys.readouterr().out
    assert FaceSet(tmp_path / "pain_album").columns["pain"].tolist() == [[20, 20], [80, 80]]


def test_two_data_sets_of_one_name_are_refused(folder_of_readers: Path) -> None:
    (folder_of_readers / "another.py").write_text(FAMILY_ALBUM.replace("family_album", "celeba"))
    with pytest.raises(ValueError, match="defines celeba a second time"):
        readers.readers()


def test_an_unknown_name_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"no data set 'celebb': it is one of 300vw, 300w.*youtube68"):
        readers.reader_of("celebb")
