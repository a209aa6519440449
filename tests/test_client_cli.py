"""The command line without a server: its words, its exit status, its files."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qface_client import cli
from tests.fake_v2 import FakeServer, classes, closed_port, contract_of, serve


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer(contract_of(classes("mood", ["glad", "sad"])))


@pytest.fixture
def url(fake: FakeServer) -> Iterator[str]:
    yield from serve(fake)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.png"
    Image.fromarray(np.zeros((80, 100, 3), np.uint8)).save(path)
    return str(path)


def test_no_server_is_one_line_with_the_address_and_what_to_do(
    photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"127.0.0.1:{closed_port()}"
    assert cli.main(["analyze", photo, "--url", url]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert url in printed.err
    assert "make serve" in printed.err


def test_an_unknown_task_is_one_line_with_those_that_there_are(
    photo: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["analyze", photo, photo, "--tasks", "mood,aura", "--url", url]) == 2
    assert capsys.readouterr().err == "qface: unknown task aura: this server has mood\n"


def test_order_is_kept_and_what_cannot_be_read_hides_no_other(
    photo: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing.png")
    copies = [str(tmp_path / f"{i}.png") for i in range(20)]
    for name in copies:
        Path(name).write_bytes(Path(photo).read_bytes())
    asked = [*copies[:10], missing, *copies[10:]]
    assert cli.main(["analyze", *asked, "--json", "--url", url]) == 2
    printed = capsys.readouterr()
    assert [json.loads(line)["file"] for line in printed.out.splitlines()] == copies
    errors = [line for line in printed.err.splitlines() if line.startswith("qface:")]
    assert errors == [f"qface: {missing}: can't be read: No such file or directory"]


def test_a_photo_without_a_face_is_an_answer(
    fake: FakeServer, photo: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.faces = 0
    assert cli.main(["analyze", photo, "--json", "--url", url]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["faces_found"], line["faces"]) == (0, [])


def test_drawings_never_write_over_a_photo_or_each_other(url: str, tmp_path: Path) -> None:
    photos = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        photos.append(str(tmp_path / folder / "same.png"))
        Image.new("RGB", (50, 50)).save(photos[-1])
    before = [Path(photo).read_bytes() for photo in photos]
    assert cli.main(["analyze", *photos, "--draw", str(tmp_path / "a"), "--url", url]) == 0
    assert [Path(photo).read_bytes() for photo in photos] == before
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "same-2.png",
        "same-3.png",
        "same.png",
    ]


def test_a_folder_that_cannot_be_made_is_one_line(
    photo: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["analyze", photo, "--draw", photo, "--url", url]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_info_lists_tasks_with_their_labels(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "--url", url]) == 0
    assert "mood  classes in probability: glad, sad" in capsys.readouterr().out
    assert cli.main(["info", "--json", "--url", url]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"][0]["labels"] == ["glad", "sad"]


@pytest.mark.parametrize(
    "wrong", [["analyze"], ["analyze", "x", "--tasks", ","], ["analyze", "x", "--timeout", "inf"]]
)
def test_a_wrong_command_is_told_by_its_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(wrong)
    assert caught.value.code == 2
    assert "usage: qface" in capsys.readouterr().err
