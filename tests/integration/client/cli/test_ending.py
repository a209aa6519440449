"""How a run ends early: by Ctrl-C, or because an output or the server is gone. Nothing is left behind."""

import csv
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pandas
import pytest

from qface_client import cli
from tests.helpers.fake_v2_server import FakeServer

from .conftest import Command, Process


def hold_after(fake: FakeServer, answered: int) -> Callable[[Process], None]:
    """Let the fake answer so many photos and none after; the outcome waits until it holds one."""
    held: list[int] = []

    def answer(number: int, context: grpc.ServicerContext) -> None:
        if number > answered:
            held.append(number)
            while context.is_active():
                time.sleep(0.01)

    def wait(process: Process) -> None:
        while not held:
            assert process.poll() is None
            time.sleep(0.01)

    fake.before_infer = answer
    return wait


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_ctrl_c_keeps_what_was_answered_and_leaves_nothing_else(
    fake: FakeServer, url: str, photo: str, tmp_path: Path, command: Command
) -> None:
    wait = hold_after(fake, 2)
    outputs = ["--csv", f"{tmp_path}/f.csv", "--parquet", f"{tmp_path}/f.parquet", "--json"]
    drawn = ["--draw", f"{tmp_path}/drawn"]
    arguments = ["analyze", *[photo] * 5, *outputs, *drawn, "--timeout", "20", "--concurrency", "1"]
    with command(*arguments) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        wait(process)
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=30)
    assert process.returncode == 130
    assert printed == "qface: interrupted after 2 of 5 photos: what was answered is kept\n"
    assert [json.loads(line)["faces_found"] for line in lines] == [1, 1]
    with Path(f"{tmp_path}/f.csv").open(newline="") as file:
        assert [row["photo"] for row in csv.DictReader(file)] == ["0", "1"]
    assert pandas.read_parquet(f"{tmp_path}/f.parquet")["photo"].tolist() == [0, 1]
    assert names_in(tmp_path) == ["drawn", "f.csv", "f.parquet", "photo.png"]
    assert names_in(tmp_path / "drawn") == ["photo-2.png", "photo.png"]


def test_ctrl_c_before_the_first_answer_leaves_no_file(
    fake: FakeServer, url: str, photo: str, tmp_path: Path, command: Command
) -> None:
    wait = hold_after(fake, 0)
    outputs = ["--csv", f"{tmp_path}/f.csv", "--parquet", f"{tmp_path}/f.parquet"]
    with command("analyze", photo, photo, *outputs, "--timeout", "20") as process:
        wait(process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)  # somebody who is impatient
        _, printed = process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in printed
    assert names_in(tmp_path) == ["photo.png"]


def test_a_terminated_run_ends_as_by_ctrl_c(
    fake: FakeServer, url: str, photo: str, tmp_path: Path, command: Command
) -> None:
    wait = hold_after(fake, 1)
    arguments = ["analyze", photo, photo, "--json", "--csv", f"{tmp_path}/f.csv", "--concurrency", "1"]
    with command(*arguments) as process:
        assert process.stdout is not None
        process.stdout.readline()
        wait(process)
        process.send_signal(signal.SIGTERM)
        _, printed = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "interrupted after 1 of 2 photos: " in printed
    assert printed.endswith("; the same command with --resume goes on\n")
    assert names_in(tmp_path) == ["f.csv", "photo.png"]


def test_a_server_that_goes_away_leaves_the_table_of_what_it_answered(
    fake: FakeServer, url: str, photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(number: int, context: grpc.ServicerContext) -> None:
        if number == 3:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "gone")

    fake.before_infer = answer
    outputs = ["--csv", f"{tmp_path}/f.csv", "--concurrency", "1"]
    assert cli.main(["analyze", *[photo] * 9, *outputs]) == 1
    with Path(f"{tmp_path}/f.csv").open(newline="") as file:
        rows = [row["photo"] for row in csv.DictReader(file)]
    assert rows[:2] == ["0", "1"]
    assert "2" not in rows
    assert capsys.readouterr().err.count("gone") == 1
