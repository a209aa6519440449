"""Standard streams that the caller closed, and names that would control a terminal."""

import os
import sys
from pathlib import Path

import pytest

from qface_client import cli


def run_without(stream: str, *arguments: str) -> int:
    kept = getattr(sys, stream)
    setattr(sys, stream, None)
    try:
        return cli.main(arguments)
    finally:
        getattr(sys, stream).close()
        setattr(sys, stream, kept)


def test_a_closed_standard_output_is_one_line_and_a_status(
    url: str, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_without("stdout", "analyze", photo) == 1
    assert capsys.readouterr().err.startswith("qface: standard output can't be written: ")


def test_without_standard_error_photos_are_answered(
    url: str, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_without("stderr", "analyze", "missing.jpg", photo) == 2
    assert capsys.readouterr().out.startswith(photo)


def test_nothing_is_on_a_closed_standard_input(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_without("stdin", "analyze", "-") == 2
    assert capsys.readouterr().err.startswith("qface: -: the picture is empty")


def test_a_name_controls_no_terminal_and_stays_on_its_line(
    url: str, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.link(photo, tmp_path / "\x1b[31mred\nline.jpg")
    (tmp_path / "\x1b]0;title\x07.jpg").touch()
    assert cli.main(["analyze", f"{tmp_path}/*.jpg"]) == 2
    out, err = capsys.readouterr()
    assert f"{tmp_path}/\\x1b[31mred\\nline.jpg  " in out
    assert f"{tmp_path}/\\x1b]0;title\\x07.jpg: the picture is empty" in err
    assert "\x1b" not in out + err
