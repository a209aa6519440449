"""`python -m deploy.bulk` in this process, with a stand-in for what answers: begun, resumed, accounted."""

import errno
import json
import os
from pathlib import Path

import pyarrow.parquet
import pytest

from deploy.bulk import command, statuses, worker
from deploy.bulk.__main__ import main
from deploy.bulk.chunks import Finished
from deploy.bulk.folder.run_folder import RunFolder
from tests.helpers.bulk_stand_in import InThisProcess, StandIn

PHOTOS = {"a": b"faces 2", "b": b"broken", "c": b"faces 0", "d": b"faces 1", "e": b"faces 3"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, data in PHOTOS.items():
        (folder / f"{name}.jpg").write_bytes(data)
    return folder


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "answering_of", lambda options: StandIn(folder=tmp_path))
    for module in (command, worker):
        monkeypatch.setattr(module, "AnsweringProcess", InThisProcess)


def run(folder: Path, output: Path, *words: str, tasks: str = "age") -> int:
    usual = ["--tasks", tasks, "--output", str(output), "--in-process", "--chunk", "2"]
    return main([str(folder), *usual, *words])


def parts(output: Path) -> dict[str, bytes]:
    files = [*(output / "photos").iterdir(), *(output / "faces").iterdir()]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}


def table(folder: Path) -> list[dict[str, object]]:
    rows = [pyarrow.parquet.read_table(path).to_pylist() for path in sorted(folder.iterdir())]
    return [row for part in rows for row in part]


def test_a_run_accounts_for_every_input(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run(photos, output, "--json") == statuses.SOME_FAILED
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((output / "summary.json").read_text()).items() <= printed.items()
    wanted = {"inputs": 5, "done": 3, "no_face": 1, "failed": 1, "missing": 0, "faces": 6}
    assert wanted.items() <= printed.items()
    assert printed["failed_by_cause"] == {"unusable": 1}
    assert [Path(str(row["file"])).stem for row in table(output / "photos")] == list(PHOTOS)
    assert (output.stat().st_mode & 0o777, (output / "run.json").stat().st_mode & 0o777) == (0o700, 0o600)

    before = parts(output)
    assert run(photos, output) == statuses.SOME_FAILED  # nothing is left to do
    assert parts(output) == before


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(photos, whole)
    run(photos, killed)
    (killed / "photos" / "part-000001.parquet").unlink()
    (killed / "faces" / "part-000002.parquet").rename(killed / "faces" / ".part-000002.parquet.unfinished")
    (killed / "photos" / "part-000002.parquet").unlink()
    assert run(photos, killed, "--quiet") == statuses.SOME_FAILED
    assert parts(killed) == parts(whole)


def test_an_interrupted_run_says_how_it_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = 0
    keep = RunFolder.keep

    def interrupted(self: RunFolder, finished: Finished) -> None:
        nonlocal kept
        kept += 1
        if kept == 2:
            raise KeyboardInterrupt
        keep(self, finished)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "keep", interrupted)
        assert run(photos, tmp_path / "out") == statuses.INTERRUPTED
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("bulk: interrupted after 2 of 5 photos")
    assert last.endswith("the same command goes on")
    assert run(photos, tmp_path / "out") == statuses.SOME_FAILED


def test_other_settings_in_the_folder_of_a_run_are_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(photos, tmp_path / "out")
    before = parts(tmp_path / "out")
    assert run(photos, tmp_path / "out", tasks="age,mood") == statuses.REFUSED
    assert "--tasks was age, and is age, mood" in capsys.readouterr().err
    assert run(photos, tmp_path / "out", "--chunk", "3") == statuses.REFUSED
    assert parts(tmp_path / "out") == before


def test_a_task_that_nobody_has_is_refused_with_those_there_are(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(photos, tmp_path / "out", tasks="all") == statuses.REFUSED
    assert "has age, mood" in capsys.readouterr().err


def test_photos_that_failed_are_answered_again_where_that_is_wanted(photos: Path, tmp_path: Path) -> None:
    whole, away = tmp_path / "whole", tmp_path / "away"
    (photos / "b.jpg").write_bytes(b"faces 2")
    run(photos, whole)
    (photos / "b.jpg").rename(away)
    output = tmp_path / "out"
    listed = tmp_path / "listed"
    listed.write_text("".join(f"{photos / name}.jpg\n" for name in PHOTOS))
    words = [
        "--files-from",
        str(listed),
        "--tasks",
        "age",
        "--output",
        str(output),
        "--in-process",
        "--chunk",
        "2",
    ]
    assert main(words) == statuses.SOME_FAILED
    assert [row["cause"] for row in table(output / "photos") if row["cause"]] == ["gone"]
    away.rename(photos / "b.jpg")
    assert main(words) == statuses.SOME_FAILED  # what failed is an outcome too
    assert main([*words, "--retry-failed"]) == statuses.OK
    assert parts(output) == parts(whole)


def test_a_part_that_is_not_of_the_listing_is_found(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    run(photos, output)
    (output / "photos" / "part-000001.parquet").write_bytes(
        (output / "photos" / "part-000000.parquet").read_bytes()
    )
    assert run(photos, output) == statuses.UNACCOUNTED
    assert "2 inputs have no result (chunk 1: its rows are not the inputs of the listing)" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("damage", ["cut", "of the other table", "removed with its listing"])
def test_what_was_damaged_by_hand_is_named_and_ends_in_no_success(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    output = tmp_path / "out"
    run(photos, output)
    part, faces = (output / table / "part-000000.parquet" for table in ("photos", "faces"))
    if damage == "removed with its listing":
        part.unlink()
        (output / "inputs" / part.name).unlink()
        assert run(photos, output) == statuses.REFUSED
        assert "has 0 photos, and the run 5" in capsys.readouterr().err
        return
    part.write_bytes(part.read_bytes()[:100] if damage == "cut" else faces.read_bytes())
    assert run(photos, output, "--retry-failed") == statuses.UNACCOUNTED
    assert "2 inputs have no result (chunk 0: " in capsys.readouterr().err
    part.unlink()
    assert run(photos, output) == statuses.SOME_FAILED


def test_the_name_of_a_folder_above_is_no_column(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "year=2026" / "out"
    assert run(photos, output) == statuses.SOME_FAILED
    (photos / "b.jpg").write_bytes(b"faces 1")
    (photos / "a.jpg").write_bytes(b"broken")  # is answered already
    assert run(photos, output, "--retry-failed") == statuses.SOME_FAILED  # as `changed`


def test_an_output_that_nobody_reads_does_not_change_how_the_run_ended(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout.write", full)
        assert run(photos, tmp_path / "out") == statuses.SOME_FAILED
    assert "what was found can't be printed (No space left on device)" in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_named_at_once(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--tasks", "age", "--output", str(tmp_path / "out"), "--ray-address", "127.0.0.1:1"]
    assert main([str(photos), *words]) == statuses.STOPPED
    assert "no Ray cluster answers at 127.0.0.1:1 ([Errno 111]" in capsys.readouterr().err


def test_an_empty_source_is_not_the_working_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["", "--tasks", "age", "--output", str(tmp_path / "out")])
    assert "a SOURCE is empty" in capsys.readouterr().err


def test_where_nobody_answers_any_more_the_run_stops_and_keeps_what_is_finished(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "e.jpg").write_bytes(b"stops")
    assert run(photos, tmp_path / "out") == statuses.STOPPED
    assert "bulk: no server answers" in capsys.readouterr().err
    assert len(parts(tmp_path / "out")) == 4
