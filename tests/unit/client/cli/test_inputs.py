"""Which pictures operands name: files, folders, patterns, lists and standard input."""

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from qface_client.cli.inputs import Inputs, Picture
from qface_client.errors import InvalidInput


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def names(inputs: Iterable[Picture | InvalidInput]) -> list[str]:
    """Of pictures their names, of errors their sentences."""
    return [one.name if isinstance(one, Picture) else str(one) for one in inputs]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_folder_gives_its_pictures_by_suffix_in_order_and_nothing_hidden(tmp_path: Path) -> None:
    make(tmp_path, "p/b.JPG", "p/a.png", "p/notes.txt", "p/.hidden.jpg", "p/.cache/x.jpg", "p/in/c.tiff")
    assert names(Inputs(operands=["p"])) == ["p/a.png", "p/b.JPG", "p/in/c.tiff"]
    assert names(Inputs(operands=["./p/"])) == ["./p/a.png", "./p/b.JPG", "./p/in/c.tiff"]


def test_a_file_is_taken_whatever_its_name_is(tmp_path: Path) -> None:
    make(tmp_path, ".hidden", "notes.txt", "a[1].jpg", "*.jpg")
    operands = [".hidden", "notes.txt", "a[1].jpg", "*.jpg", "missing.jpg"]
    assert names(Inputs(operands=operands)) == operands


def test_a_name_that_no_file_can_have_is_the_clients_to_refuse() -> None:
    odd = ["x" * 5000, "a\0b"]
    assert names(Inputs(operands=odd)) == odd
    assert Inputs(operands=odd).count() is None


def test_links_back_into_a_walked_folder_end_and_other_links_are_followed(tmp_path: Path) -> None:
    make(tmp_path, "p/in/a.jpg", "other/b.jpg")
    (tmp_path / "p/in/loop").symlink_to(tmp_path / "p")
    (tmp_path / "p/self").symlink_to(".")
    (tmp_path / "p/other").symlink_to(tmp_path / "other")
    (tmp_path / "p/gone.jpg").symlink_to("nowhere")
    (tmp_path / "p/itself.jpg").symlink_to("itself.jpg")
    found = ["p/gone.jpg", "p/itself.jpg", "p/in/a.jpg", "p/other/b.jpg"]
    assert names(Inputs(operands=["p"])) == found
    assert names(Inputs(operands=["p/**/*.jpg"])) == found


@pytest.mark.parametrize("operand", ["empty", "empty/"])
def test_a_folder_without_pictures_is_one_error_that_names_it(tmp_path: Path, operand: str) -> None:
    make(tmp_path, "empty/notes.txt", "empty/in/more.txt")
    (found,) = names(Inputs(operands=[operand]))
    assert found.startswith(f"{operand}: there is no picture in this folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_reported_and_hides_no_other(tmp_path: Path) -> None:
    make(tmp_path, "p/closed/a.jpg", "p/open/b.jpg")
    (tmp_path / "p/closed").chmod(0)
    assert names(Inputs(operands=["p"])) == [
        "p/closed: this folder can't be read: Permission denied",
        "p/open/b.jpg",
    ]


def test_the_folder_for_drawings_is_not_entered_where_it_lies_in_a_walked_one(tmp_path: Path) -> None:
    make(tmp_path, "p/a.jpg", "p/drawn/a.jpg")
    drawn = tmp_path / "p" / "drawn"
    assert names(Inputs(operands=["p", "p/**"], left_out=drawn)) == ["p/a.jpg", "p/a.jpg"]
    assert names(Inputs(operands=["p/drawn"], left_out=drawn)) == ["p/drawn/a.jpg"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("p/*.jpg", ["p/a.jpg"]),
        ("p/*", ["p/a.jpg", "p/b.png"]),
        ("p/[ab].*", ["p/a.jpg", "p/b.png"]),
        ("p/*.dat", ["p/raw.dat"]),
        ("p/**", ["p/a.jpg", "p/b.png", "p/in/c.jpg", "p/in/deep/d.jpg"]),
        ("p/**/*.jpg", ["p/a.jpg", "p/in/c.jpg", "p/in/deep/d.jpg"]),
        ("p/**/**/deep/*.jpg", ["p/in/deep/d.jpg"]),
        ("p/*/c.jpg", ["p/in/c.jpg"]),
        ("*/in/?.jpg", ["p/in/c.jpg"]),
        ("**/d.jpg", ["p/in/deep/d.jpg"]),
        ("p/.*.jpg", ["p/.h.jpg"]),
        ("p/none*.jpg", ["p/none*.jpg: no picture matches this pattern: check it"]),
        ("p/*.txt", ["p/*.txt: no picture matches this pattern: check it"]),
        ("nowhere/*.jpg", ["nowhere: this folder can't be read: No such file or directory"]),
    ],
)
def test_a_pattern_that_no_shell_expanded(tmp_path: Path, pattern: str, found: list[str]) -> None:
    make(tmp_path, "p/a.jpg", "p/b.png", "p/raw.dat", "p/.h.jpg", "p/in/c.jpg", "p/in/deep/d.jpg")
    assert names(Inputs(operands=[pattern])) == found


def test_an_absolute_pattern(tmp_path: Path) -> None:
    make(tmp_path, "p/a.jpg")
    assert names(Inputs(operands=[f"{tmp_path}/*/a.jp*"])) == [f"{tmp_path}/p/a.jpg"]


def test_pictures_of_a_folder_keep_their_place_below_it(tmp_path: Path) -> None:
    make(tmp_path, "p/in/a.jpg")
    for operand, place in (("p", "in/a.jpg"), ("p/in/a.jpg", "a.jpg"), ("p/**/*.jpg", "in/a.jpg")):
        (picture,) = Inputs(operands=[operand])
        assert isinstance(picture, Picture)
        assert picture.place.as_posix() == place


@pytest.mark.parametrize(
    ("data", "null"), [(b"b.jpg\na [1].jpg\r\n\np\nlast", False), (b"b.jpg\0a [1].jpg\0p\0last", True)]
)
def test_a_list_of_paths_names_files_and_folders_but_no_patterns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, null: bool
) -> None:
    make(tmp_path, "p/c.jpg")
    found = ["b.jpg", "a [1].jpg", "p/c.jpg", "last"]
    (tmp_path / "list").write_bytes(data)
    assert names(Inputs(files_from="list", null=null)) == found
    standard_input(monkeypatch, data)
    assert names(Inputs(operands=["first"], files_from="-", null=null)) == ["first", *found]


def test_a_list_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    with open(reads) as reader, open(writes, "wb", buffering=0) as writer:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", reader)
        pictures = iter(Inputs(files_from="-", null=True))
        writer.write(b"a.jpg\0b.jpg\0c")
        assert names([next(pictures), next(pictures)]) == ["a.jpg", "b.jpg"]


def test_a_name_with_bytes_that_are_no_text_is_kept(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\xff.jpg\n")
    (picture,) = Inputs(files_from="list")
    assert isinstance(picture, Picture)
    assert os.fsencode(picture.name) == b"\xff.jpg"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "list: the list of files can't be read: No such file"),
        (b"\n", "list: the list of files is empty"),
    ],
)
def test_a_list_without_files_is_one_error(tmp_path: Path, data: bytes | None, words: str) -> None:
    if data is not None:
        (tmp_path / "list").write_bytes(data)
    (found,) = names(Inputs(files_from="list"))
    assert found.startswith(words)


def test_a_picture_comes_by_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    standard_input(monkeypatch, b"a picture")
    (picture,) = Inputs(operands=["-"])
    assert isinstance(picture, Picture)
    assert (picture.name, picture.photo) == ("-", b"a picture")


def test_what_cannot_be_read_together_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    standard_input(monkeypatch, b"")
    assert "name a PHOTO" in str(Inputs().mistake())
    assert "once" in str(Inputs(operands=["-", "-"]).mistake())
    assert "once" in str(Inputs(operands=["-"], files_from="-").mistake())
    assert "--files-from" in str(Inputs(operands=["a"], null=True).mistake())
    assert Inputs(operands=["-"], files_from="list").mistake() is None
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert "terminal" in str(Inputs(operands=["-"]).mistake())


def test_the_number_of_pictures_is_known_of_files_alone(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "p/b.jpg")
    assert Inputs(operands=["a.jpg", "a.jpg", "-"]).count() == 3
    assert Inputs(operands=["a.jpg", "p"]).count() is None
    assert Inputs(operands=["a.jpg"], files_from="list").count() is None
