"""A report appears when it is whole; what goes wrong leaves none, or an earlier one, and a sentence."""

import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from qface_client import cli
from qface_client.cli import report as command
from qface_client.cli.report.gathered import Gathered
from tests.helpers.fake_v2_server import FakeServer

EARLIER = "an earlier report"


@pytest.fixture(autouse=True)
def earlier(photos: Path) -> Iterator[None]:
    """An earlier report of the same name, which is there after each test, and nothing else beside it."""
    Path("report.html").write_text(EARLIER)
    yield
    assert Path("report.html").read_text() == EARLIER
    assert {path.name for path in photos.parent.iterdir()} <= {"photos", "report.html", "list.html", "empty"}


def run(every_kind_url: str, *arguments: str, operand: str = "photos", html: str = "report.html") -> int:
    return cli.main(["report", operand, "--html", html, "--url", every_kind_url, *arguments])


def test_a_server_that_refuses_in_the_middle(every_kind_url: str, every_kind: FakeServer) -> None:
    def refuse(number: int, context: grpc.ServicerContext) -> None:
        if number > 1:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "the key was withdrawn")

    every_kind.before_infer = refuse
    assert run(every_kind_url, "--concurrency", "1") == 2


def test_ctrl_c(
    every_kind_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: Gathered, answered: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Gathered, "take", interrupt)
    assert run(every_kind_url) == 130
    assert "no report is written" in capsys.readouterr().err


def test_a_disk_that_is_full_when_the_page_is_written(
    every_kind_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(material: Any) -> Iterator[str]:
        yield "<!doctype html>"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(command, "page", full)
    assert run(every_kind_url) == 1
    assert "report.html can't be written: No space left on device" in capsys.readouterr().err


def test_no_room_for_the_temporary_file(
    every_kind_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert run(every_kind_url) == 1
    printed = capsys.readouterr().err
    assert "a temporary file in" in printed
    assert "TMPDIR" in printed


def test_a_folder_without_a_photo(every_kind_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert run(every_kind_url, operand="empty") == 2
    printed = capsys.readouterr().err
    assert "there is no picture in this folder" in printed
    assert "no report is written" in printed


def test_a_contract_that_changes_in_the_middle(
    every_kind_url: str, every_kind: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(number: int, context: grpc.ServicerContext) -> None:
        if number == 2:
            every_kind.contract = {**every_kind.contract, "hash": "0123456789abcdef"}

    every_kind.before_infer = change
    assert run(every_kind_url, "--concurrency", "1", "--tasks", "mood") == 1
    assert "the contract has changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("photos/a.png", "ends in .html"),
        ("-", "ends in .html"),
        ("photos", "ends in .html"),
        ("list.html", "would replace what is read"),
        ("recorded.html", "would replace what is read or recorded"),
        ("photo.html", "leads to"),
    ],
)
def test_a_name_that_is_no_pages(
    every_kind_url: str, html: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("list.html").write_text("photos/a.png\n")
    Path("photo.html").symlink_to("photos/a.png")
    before = Path("photos/a.png").read_bytes()
    with pytest.raises(SystemExit) as ended:
        run(every_kind_url, "--files-from", "list.html", "--record", "recorded.html", html=html)
    assert ended.value.code == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert Path("photos/a.png").read_bytes() == before
    assert Path("list.html").read_text() == "photos/a.png\n"
    Path("photo.html").unlink()


def test_a_folder_that_is_not_there(every_kind_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(every_kind_url, html="missing/report.html") == 2
    assert "missing/report.html: can't be written: No such file or directory" in capsys.readouterr().err
