"""A run that is killed or interrupted goes on by the same command, and ends as if nothing had happened."""

import contextlib
import os
import signal
import threading
from pathlib import Path

import grpc
import pytest

from deploy.bulk.statuses import INTERRUPTED, SOME_FAILED, TERMINATED
from tests.helpers.bulk_runs import (
    Run,
    answering_processes,
    end_of,
    run_here,
    running,
    until_parts,
    workers,
)
from tests.helpers.fake_v2_server import FakeServer

MIDDLE = 21  # the photo at which it happens: of the third chunk


class At:
    """Something to be done once, by whoever answers the photo of this number."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, number: int, context: grpc.ServicerContext) -> None:
        if number == self._number:
            self.reached.set()
            self.go_on.wait()


@pytest.fixture
def middle(fake: FakeServer) -> At:
    """The server holds its answer in the middle of the run."""
    fake.before_infer = middle = At(MIDDLE)
    return middle


def test_a_killed_run_goes_on_and_has_the_same_bytes(
    folder: Path, words: tuple[str, ...], whole: Run, middle: At, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    with running(folder, "--output", output, *words) as process:
        assert middle.reached.wait(60)
        process.kill()
        assert end_of(process).status == -signal.SIGKILL
    middle.go_on.set()
    kept = Run(output).files
    assert 0 < len(kept) < len(whole.files)
    assert kept.items() <= whole.files.items(), "what was finished is whole"
    assert run_here(folder, "--output", output, *words) == SOME_FAILED
    assert Run(output).files == whole.files
    assert Run(output).tree == whole.tree


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, INTERRUPTED), pytest.param(signal.SIGTERM, TERMINATED, marks=pytest.mark.heavy)],
)
def test_an_interrupted_run_says_that_the_same_command_goes_on(
    folder: Path,
    words: tuple[str, ...],
    whole: Run,
    middle: At,
    tmp_path: Path,
    number: signal.Signals,
    status: int,
) -> None:
    output = tmp_path / "run"
    with running(folder, "--output", output, *words) as process:
        assert middle.reached.wait(60)
        process.send_signal(number)
        ended = end_of(process)
    middle.go_on.set()
    assert ended.status == status, ended
    assert "the same command goes on" in ended.sentence
    assert "Traceback" not in ended.errors
    assert Run(output).files.items() <= whole.files.items()
    assert run_here(folder, "--output", output, *words) == SOME_FAILED
    assert Run(output).files == whole.files


def test_a_run_by_ray_survives_its_workers_and_is_gone_with_its_command(
    folder: Path, words: tuple[str, ...], whole: Run, tmp_path: Path
) -> None:
    """One start of Ray for all of it: a worker is killed, what answers for one is, and then the command."""
    output = tmp_path / "run"
    by_ray = [word for word in words if word != "--in-process"]
    with running(folder, "--output", output, *by_ray, "--workers", "1") as process:
        until_parts(process, output, 1)
        for find in (answering_processes, workers):
            for pid in find(process.pid):
                with contextlib.suppress(ProcessLookupError):  # it ended with another one
                    os.kill(pid, signal.SIGKILL)
        until_parts(process, output, 4)
        process.kill()
        end_of(process)
    kept = Run(output).files
    assert len(kept) >= 8, "the run went on without its first workers"
    assert kept.items() <= whole.files.items()
    assert run_here(folder, "--output", output, *words) == SOME_FAILED
    assert Run(output).files == whole.files


def test_a_finished_run_computes_nothing_again(
    folder: Path, words: tuple[str, ...], whole: Run, fake: FakeServer
) -> None:
    before = whole.files
    assert run_here(folder, "--output", whole.folder, *words) == SOME_FAILED
    assert fake.infers == 0
    assert whole.files == before


def test_failed_photos_are_answered_once_more_where_that_is_wanted(
    folder: Path, words: tuple[str, ...], tmp_path: Path
) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    data = next(path for path in sorted(folder.iterdir()) if path.suffix == ".png").read_bytes()
    for number in range(10):
        (source / f"{number}.png").write_bytes(data)
    moved = tmp_path / "moved.png"
    (source / "5.png").rename(moved)
    (source / "5.png").symlink_to(moved)  # a link that leads nowhere for now, as a volume that is not there
    moved.rename(tmp_path / "away.png")
    output = tmp_path / "run"
    assert run_here(source, "--output", output, *words) == SOME_FAILED
    (failed,) = [row for row in Run(output).photos if row["status"] == "failed"]
    assert failed["file"].endswith("/5.png")
    (tmp_path / "away.png").rename(moved)
    assert run_here(source, "--output", output, *words) == SOME_FAILED, "without the option it is left"
    assert run_here(source, "--output", output, *words, "--retry-failed") == 0
    assert [row["status"] for row in Run(output).photos] == ["done"] * 10
    assert [row["photo"] for row in Run(output).faces] == list(range(10))
