"""The folder of a run's Ray: short enough for sockets, and gone when its owner is."""

import tempfile
from pathlib import Path

import pytest

from deploy.bulk import scratch
from deploy.bulk.scratch import ScratchFolder, scratch_folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(scratch, "_LONGEST", 1000)
    return folder


def test_those_of_dead_runs_are_removed_and_those_at_work_stay(place: Path) -> None:
    at_work = scratch_folder()
    abandoned = place / "qface-bulk-dead"
    abandoned.mkdir()
    (abandoned / "in-use").touch()
    mine = scratch_folder()
    assert sorted(place.iterdir()) == sorted([at_work.path, mine.path])
    with pytest.raises(BlockingIOError):
        ScratchFolder(mine.path, new=False)
    for each in (at_work, mine):
        each.remove()
    assert not list(place.iterdir())


def test_where_temporary_files_go_to_a_long_path_it_is_short(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's path has 107 bytes at most."""
    monkeypatch.setattr(scratch, "_LONGEST", len(str(place)))
    monkeypatch.setattr(scratch, "_USUAL", tmp_path)
    found = scratch_folder()
    assert found.path.parent == tmp_path
    found.remove()
