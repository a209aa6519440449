"""`python -m training.data`: what it prints, and how what is asked wrongly ends."""

import pathlib

import cv2
import numpy as np
import pytest

from tests.helpers.paths import ASSETS
from training.data.__main__ import main
from training.data.prepared.face_set import FaceSet
from training.data.readers import readers


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A face, BGR [200, 210, 3]."""
    picture = cv2.imread(str(ASSETS / "astronaut.jpg"))
    assert picture is not None
    return np.asarray(picture[40:240, 120:330], np.uint8)


def _save(path: pathlib.Path, picture: np.ndarray) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)
    return path


def _run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_names_with_odd_characters_are_names(
    tmp_path: pathlib.Path, portrait: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [b"new\nline.png", b"quote'\".png", b"\xff\xfe.png", "ü 😀.png".encode(), b"%s{0}.png"]
    (tmp_path / "in").mkdir()
    content = _save(tmp_path / "a.png", portrait).read_bytes()
    for name in names:
        (tmp_path / "in" / name.decode("utf-8", "surrogateescape")).write_bytes(content)
    (tmp_path / "in" / b"\xfd.png".decode("utf-8", "surrogateescape")).write_bytes(content[:100])
    command = ("prepare", "photos", "--source", tmp_path / "in", "--output", tmp_path, "--max-unreadable", 1)
    assert _run(*command) == 0
    assert "unreadable: \\udcfd.png: " in capsys.readouterr().out
    keys = {key.encode("utf-8", "surrogateescape") for key in FaceSet(tmp_path / "photos").keys}
    assert keys == set(names)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--source", "{tmp}/nowhere"), "{tmp}/nowhere is no folder: name the one that"),
        (("--source", "{tmp}/in", "--limit", "0"), "--limit 0 leaves nothing to prepare"),
        (("--source", "{tmp}/in", "--max-unreadable", "2"), "--max-unreadable 2.0 is no share"),
        (("--source", "{tmp}/in", "--size", "3"), "a crop of 3 pixels is too small"),
        (("--source", "{tmp}/in", "--size", "100000"), "--size 100000 is more than can be prepared"),
        (("--source", "{tmp}/in", "--detector", "{tmp}/in/1.png"), "{tmp}/in/1.png is not the BlazeFace"),
        (("--source", "{tmp}/in", "--teacher", "{tmp}/none.npz"), "{tmp}/none.npz can't be read"),
        (("--source", "{tmp}/in", "--detector", "{tmp}/none.tflite"), "{tmp}/none.tflite: No such file"),
    ],
)
def test_what_is_asked_wrongly_ends_in_a_sentence(
    tmp_path: pathlib.Path,
    portrait: np.ndarray,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    _save(tmp_path / "in/1.png", portrait)
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    assert _run("prepare", "photos", "--output", tmp_path / "out", *filled) == 2
    assert capsys.readouterr().err.startswith(sentence.replace("{tmp}", str(tmp_path)))
    assert not (tmp_path / "out/photos").exists()


def test_a_full_disk_ends_in_a_sentence(
    tmp_path: pathlib.Path,
    portrait: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    _save(tmp_path / "in/1.png", portrait)
    monkeypatch.setattr("os.fsync", full)
    assert _run("prepare", "photos", "--source", tmp_path / "in", "--output", tmp_path / "out") == 2
    assert f"the disk under {tmp_path}/out is full: make room" in capsys.readouterr().err


def test_the_list_names_every_data_set_with_its_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("list", "--trees") == 0
    out = capsys.readouterr().out
    for name, reader in readers().items():
        assert name in out
        assert reader.licence in out
        assert reader.tree.splitlines()[0] in out


def test_checking_what_is_no_set_ends_in_a_sentence(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("check", tmp_path) == 2
    assert f"there is no prepared set in {tmp_path}" in capsys.readouterr().err
