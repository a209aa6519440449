"""What is refused before anything is computed: one sentence, status 2, and a folder that stays as it was."""

from pathlib import Path

import pytest

from deploy.bulk.__main__ import main
from deploy.bulk.folder.lock import only_one
from deploy.bulk.statuses import REFUSED
from tests.helpers.bulk_runs import Run


def refusal(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The sentence with which a command is refused."""
    assert main([str(word) for word in words]) == REFUSED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1, printed.err
    return printed.err


def test_two_runs_in_one_folder(
    folder: Path, words: tuple[str, ...], whole: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with only_one(whole.folder):
        sentence = refusal(capsys, folder, "--output", whole.folder, *words)
    assert "process" in sentence
    assert str(whole.folder) in sentence


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (("--max-faces", "3"), "search"),
        (("--masks",), "--masks"),
        (("--chunk", "9"), "--chunk"),
    ],
)
def test_other_settings_for_a_run_that_has_begun(
    folder: Path,
    words: tuple[str, ...],
    whole: Run,
    capsys: pytest.CaptureFixture[str],
    other: tuple[str, ...],
    named: str,
) -> None:
    before = whole.files
    assert named in refusal(capsys, folder, "--output", whole.folder, *words, *other)
    assert whole.files == before


def test_other_photos_for_a_run_that_has_begun(
    folder: Path, words: tuple[str, ...], whole: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "SOURCE" in refusal(capsys, folder / "album", "--output", whole.folder, *words)


def test_an_unknown_task_is_named_with_those_that_there_are(
    folder: Path, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    sentence = refusal(capsys, folder, "--output", output, *words, "--tasks", "mood,race")
    assert "race" in sentence
    assert "mood" in sentence
    assert not list(output.glob("*/part-*"))


def test_no_task_is_answered_that_is_not_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(folder), "--output", str(tmp_path / "run")])
    assert caught.value.code == REFUSED
    assert "--tasks" in capsys.readouterr().err


def test_a_folder_with_other_things_in_it(
    folder: Path, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert "thesis.txt" in refusal(capsys, folder, "--output", tmp_path, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_place_of_the_folder(
    folder: Path, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "file"
    place.write_text("mine")
    assert str(place) in refusal(capsys, folder, "--output", place, *words)
    assert place.read_text() == "mine"


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_source_without_pictures(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert name in refusal(capsys, tmp_path / name, "--output", tmp_path / "run", *words)
