"""The pictures of a folder, as Python gets them."""

import os
from pathlib import Path

import pytest

from qface_client import InvalidInput, photo_files
from qface_client.cli.inputs import Inputs, Picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.JPG",
        "a.png",
        "notes.txt",
        ".hidden.jpg",
        "in/c.tiff",
        "in/deeper/d.webp",
        "later/e.jpg",
    ):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "photos"


def test_they_are_those_of_the_command_line_in_its_order(folder: Path) -> None:
    found = list(photo_files(folder))
    names = ["a.png", "b.JPG", "in/c.tiff", "in/deeper/d.webp", "later/e.jpg"]
    assert found == [folder / name for name in names]
    pictures = list(Inputs(operands=[str(folder)]))
    assert [one.name for one in pictures if isinstance(one, Picture)] == [str(path) for path in found]
    assert list(photo_files(str(folder), recursive=False)) == [folder / "a.png", folder / "b.JPG"]


def test_a_folder_without_a_picture_has_none(tmp_path: Path) -> None:
    assert list(photo_files(tmp_path)) == []


@pytest.mark.parametrize("name", ["nowhere", "photos/a.png"])
def test_what_is_no_folder_is_refused_at_once(folder: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name}: this folder can't be read"):
        photo_files(folder.parent / name)


def test_a_folder_below_that_can_not_be_read_is_an_error_after_all_pictures(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: str) -> "os._ScandirContextManager[str]":
        if path.endswith("/in"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    files = photo_files(folder)
    assert [next(files).name for _ in range(3)] == ["a.png", "b.JPG", "e.jpg"]
    with pytest.raises(InvalidInput, match=r"/in: this folder can't be read: Permission denied"):
        next(files)
