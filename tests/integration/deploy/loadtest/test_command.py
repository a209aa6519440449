"""`python -m deploy.loadtest` against servers that go away, that are not there, and that let nobody in."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest import stage as stages
from deploy.loadtest.__main__ import main
from deploy.loadtest.command import plan
from deploy.loadtest.report import page
from deploy.loadtest.results import Run, Stage
from tests.helpers import slow_repository
from tests.helpers.gateways import PATIENT
from tests.helpers.paths import ROOT

WORK = ("--model", "echo", "--shape", "crop:4,4,3", "--processes", "1", "--warm-up", "0", "--window", "0.5")


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    repository = slow_repository.write(tmp_path_factory.mktemp("echo") / "repository")
    with GatewayServer(repository, arguments=PATIENT) as running:
        yield running


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds, and have tests of their own."""
    monkeypatch.setattr(page, "render", lambda *_: "")


def words(server: GatewayServer, output: Path, *further: str) -> list[str]:
    return ["--url", server.grpc_address, *WORK, "--output", str(output), *further]


def test_an_interrupted_run_reports_what_it_has(echo: GatewayServer, tmp_path: Path) -> None:
    command = words(echo, tmp_path, "--clients", "1", "2", "--seconds", "1.5")
    with subprocess.Popen(
        [sys.executable, "-m", "deploy.loadtest", *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        first_line = process.stderr.readline()  # of the first stage, when it is over
        time.sleep(0.7)
        for _ in range(4):  # as an impatient user's, some of them while the report is made
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C reaches all of a terminal's processes
            time.sleep(0.25)
        _, errors = process.communicate(timeout=30)
    assert "1 client" in first_line
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    first, second = Run.read(tmp_path / "report.json").stages
    assert first.ended == ""
    assert "interrupted" in second.ended
    assert second.codes["OK"] > 10
    assert set(second.codes) == {"OK"}  # what was under way is no failure


@pytest.mark.usefixtures("without_plots")
def test_a_requirement_that_is_not_kept_gives_1_and_is_named_beside_those_that_are(
    echo: GatewayServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    required = ("p50<5s@2clients", "p50<1us@2clients", "errors<1%")
    assert main(words(echo, tmp_path, "--seconds", "1", "--require", *required)) == 1
    verdicts = [line for line in capsys.readouterr().err.splitlines() if "kept: " in line.lower()]
    assert [line.partition(": ")[0] for line in verdicts] == ["kept", "NOT KEPT", "kept"]
    kept = [verdict["kept"] for verdict in Run.read(tmp_path / "report.json").about["requirements"]]
    assert kept == [True, False, True]


def test_where_nobody_reads_its_words_the_report_is_written_all_the_same(
    echo: GatewayServer, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        process = subprocess.run(
            [
                sys.executable,
                "-m",
                "deploy.loadtest",
                *words(echo, tmp_path, "--rates", "20", "--seconds", "1"),
            ],
            cwd=ROOT,
            stdout=nobody,
            stderr=nobody,
            timeout=30,
        )
    assert process.returncode == 0
    assert Run.read(tmp_path / "report.json").ended == ""
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("rate", "blocked", "sentence"),
    [("1e-9", False, "nothing was due"), ("20", True, "the report can't be written to")],
)
def test_what_leaves_no_report_is_a_sentence_and_status_2(
    echo: GatewayServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rate: str,
    blocked: bool,
    sentence: str,
) -> None:
    if blocked:
        (tmp_path / "report.json").mkdir()
    assert main(words(echo, tmp_path, "--rates", rate, "--seconds", "0.6")) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"loadtest: {sentence}")


@pytest.mark.usefixtures("without_plots")
def test_a_server_that_is_killed_halfway_is_reported_with_the_stages_before(
    echo: GatewayServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last test of this module: it ends the server."""
    monkeypatch.setattr(stages, "GIVE_UP_SECONDS", 0.5)
    monkeypatch.setattr(plan, "BACK_SECONDS", 0.5)

    measure = plan.measure_stage
    numbers = itertools.count(1)

    def measure_and_kill(*arguments: Any, **words: Any) -> Stage:
        if next(numbers) == 2:
            threading.Timer(1.0, os.kill, (echo.supervisor_pid, signal.SIGKILL)).start()
        return measure(*arguments, **words)

    monkeypatch.setattr(plan, "measure_stage", measure_and_kill)
    status = main(words(echo, tmp_path, "--clients", "1", "2", "4", "--seconds", "2"))
    assert status == 1
    first, second = Run.read(tmp_path / "report.json").stages
    assert first.ended == ""
    assert "nothing was answered from" in second.ended
    assert "UNAVAILABLE" in second.ended
    assert second.codes["OK"] > 0
    assert second.gap >= 0.5
    assert "nothing was answered" in capsys.readouterr().err
