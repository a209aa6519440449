"""Photos that can't be read, vanish or change while a run reads them, and a disk that is full."""

import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.bulk.photo import Status
from deploy.bulk.statuses import SOME_FAILED, STOPPED
from tests.helpers.bulk_pictures import BulkPicture
from tests.helpers.bulk_runs import Ended, Run, end_of, finished, run_here, running
from tests.helpers.fake_v2_server import FakeServer


def when(number: int, do: Callable[[], Any]) -> Callable[[int, grpc.ServicerContext], None]:
    """Does something before the photo of this number is answered."""

    def before(infers: int, context: grpc.ServicerContext) -> None:
        if infers == number:
            do()

    return before


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A folder of the pictures that a test may change, with their times."""
    return Path(shutil.copytree(folder, tmp_path / "photos"))


def test_every_input_is_accounted_for_by_what_it_is(
    corpus: tuple[Path, dict[str, BulkPicture]], computed: tuple[Run, Ended]
) -> None:
    folder, pictures = corpus
    done, ended = computed
    assert ended.status == SOME_FAILED
    rows = {row["file"].removeprefix(f"{folder}/"): row for row in done.photos}
    assert rows.keys() == pictures.keys()
    assert len(done.photos) == len(pictures)
    for name, row in rows.items():
        assert (row["status"] == Status.FAILED) != pictures[name].readable, name
        assert bool(row["reason"]) == bool(row["cause"]) == (row["status"] == Status.FAILED), name
    faces = [row["photo"] for row in done.faces]
    assert set(faces) == {row["photo"] for row in done.photos if row["status"] == Status.DONE}
    summary = done.summary
    assert (summary["inputs"], summary["missing"]) == (len(pictures), 0)
    assert summary["faces"] == len(faces)
    assert summary["failed"] == sum(not picture.readable for picture in pictures.values())


def test_a_photo_that_vanishes_or_changes_meanwhile_fails_and_no_other(
    copy: Path, words: tuple[str, ...], fake: FakeServer, tmp_path: Path
) -> None:
    gone, changed = sorted(copy.glob("album/*.*"))[-2:]

    def disturb() -> None:
        gone.unlink()
        changed.write_bytes(changed.read_bytes() + b"\0")

    fake.before_infer = when(1, disturb)
    assert run_here(copy, "--output", tmp_path / "run", *words) == SOME_FAILED
    failed = {row["file"]: row for row in Run(tmp_path / "run").photos if row["status"] == Status.FAILED}
    assert failed.keys() >= {str(gone), str(changed)}
    assert failed[str(gone)]["cause"] == "gone"
    assert failed[str(changed)]["cause"] == "changed"
    others = [row for file, row in failed.items() if file not in (str(gone), str(changed))]
    assert {row["cause"] for row in others} <= {"unusable"}
    assert Run(tmp_path / "run").summary["missing"] == 0


def test_a_folder_that_is_gone_stops_the_run_and_it_goes_on_once_it_is_back(
    copy: Path, words: tuple[str, ...], fake: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = tmp_path / "away"
    fake.before_infer = when(3, lambda: copy.rename(away))
    output = tmp_path / "run"
    assert run_here(copy, "--output", output, *words, "--patience", "0.1") == STOPPED
    assert "the same command goes on" in capsys.readouterr().err
    assert not (output / "summary.json").exists()
    away.rename(copy)
    assert run_here(copy, "--output", output, *words) == SOME_FAILED  # one is empty
    assert {row["cause"] for row in Run(output).photos} == {None, "unusable"}


def test_a_full_disk_stops_the_run_without_half_a_file(
    folder: Path, words: tuple[str, ...], whole: Run, tmp_path: Path
) -> None:
    """A bound on a file's size stands for the full disk: both fail within a write."""
    sizes = {name: len(data) for name, data in whole.files.items()}
    bound = max(sizes.values()) - 1
    listing = max(path.stat().st_size for path in (whole.folder / "inputs").iterdir())
    assert listing < bound, "the listing has to fit"

    output = tmp_path / "run"
    with running(folder, "--output", output, *words) as process:
        # Long before its first file. Not between fork and exec: gRPC has threads in this process.
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (bound, bound))
        ended = end_of(process)
    assert ended.status == STOPPED, ended
    assert "the same command goes on" in ended.sentence
    kept = Run(output).files
    assert kept.items() <= whole.files.items(), "each part that is there is whole"
    assert not list((output / "faces").glob(".*"))
    finished(folder, "--output", output, *words)
    assert Run(output).files == whole.files
