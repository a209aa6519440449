"""What a command line that can't be meant gets beside the error: what was probably meant."""

import csv
import io
import os
import sys
from pathlib import Path

import grpc
import pytest

from qface_client import cli
from tests.helpers.fake_v2_server import FakeServer


def test_an_address_is_fetched_first(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address, table = "https://faces.example/team.jpg?w=[800]", tmp_path / "f.csv"
    assert cli.main(["analyze", address, "--csv", str(table)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"qface: {address}: can't be read: ")
    assert error.endswith("; this is an address: fetch it, `curl -s ADDRESS | qface analyze -`\n")
    with table.open(newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [address]


@pytest.mark.parametrize("end", [b"\n", b"\0"])
def test_names_of_files_in_the_place_of_a_picture(
    fake: FakeServer,
    url: str,
    photo: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    end: bytes,
) -> None:
    def refuse(number: int, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no picture")

    fake.before_infer = refuse
    for sent, hint in ((os.fsencode(photo) + end, True), (b"neither" + end, False)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sent)))
        assert cli.main(["analyze", "-"]) == 2
        assert ("; these are names of files: --files-from - reads them" in capsys.readouterr().err) is hint


def test_without_a_command_the_help_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["qface"])
    for arguments in ([], None):
        assert cli.main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("usage: qface ")
        assert "exit status:" in printed.err
