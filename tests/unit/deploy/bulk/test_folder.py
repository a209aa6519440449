"""A run's folder: its listing, its parts, its lock; nothing that is half written looks whole."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from deploy.bulk.chunks import Counts, Finished, Todo
from deploy.bulk.errors import Refused, Stopped
from deploy.bulk.folder import listing, lock
from deploy.bulk.folder.lock import only_one
from deploy.bulk.folder.run_folder import RunFolder
from deploy.bulk.settings import RunSettings
from deploy.bulk.store.base import Listed
from tests.helpers.bulk_stand_in import run_settings

FINISHED = Finished(chunk=0, photos=b"photos", faces=b"faces", counts=Counts(done=2, faces=2))


def begun(path: Path, *, inputs: int = 4, chunk_size: int = 2) -> tuple[RunFolder, RunSettings]:
    folder = RunFolder(path / "run")
    folder.create()
    folder.clean()
    listed = [Listed(address=f"/{number}.jpg", size=number) for number in range(inputs)]
    settings = run_settings(
        inputs=listing.write_listing(listed, folder.fresh_listing()), chunk_size=chunk_size
    )
    folder.begin(settings)
    return folder, settings


def test_the_listing_is_read_a_slice_at_a_time_over_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PART_ROWS", 10)
    monkeypatch.setattr(listing, "_GROUP_ROWS", 3)
    folder, settings = begun(tmp_path, inputs=25, chunk_size=7)
    chunks = [folder.photos_of(chunk, settings) for chunk in range(settings.chunks)]
    assert [len(photos) for photos in chunks] == [7, 7, 7, 4]
    rows = [photo for photos in chunks for photo in photos]
    assert [(photo.number, photo.address, photo.size) for photo in rows] == [
        (number, f"/{number}.jpg", number) for number in range(25)
    ]
    assert len(folder.listing()) == 25


def test_a_photo_that_two_sources_have_is_listed_once() -> None:
    listed = [Listed(address=name) for name in ("a", "b", "a", "c", "b")]
    once = listing.without_twins(listed, remembered=True)
    assert [item.address for item in once] == ["a", "b", "c"]
    with pytest.raises(Refused, match="no picture in photos"):
        list(listing.at_least_one([], named="photos"))


def test_a_listing_that_was_not_finished_is_none(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    listing.write_listing([Listed(address="/a.jpg")], folder.fresh_listing())
    assert not folder.begun
    folder.create()  # what is left of it is in nobody's way
    folder, settings = begun(tmp_path)
    assert folder.settings() == settings


def test_a_chunk_counts_once_both_its_files_are_there(tmp_path: Path) -> None:
    folder, settings = begun(tmp_path)
    assert list(folder.left(settings)) == [0, 1]
    folder.faces_part(0).write_bytes(b"of a run that was killed between the two")
    assert list(folder.left(settings)) == [0, 1]
    folder.keep(FINISHED)
    assert list(folder.left(settings)) == [1]
    assert folder.faces_part(0).read_bytes() == b"faces"
    again = folder.work(Todo(chunk=1, only=frozenset({3})), settings)
    assert [photo.number for photo in again.photos] == [3]
    assert not again.of_all


def test_a_full_disk_stops_the_run_and_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, settings = begun(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(Stopped, match="No space left on device"):
            folder.keep(FINISHED)
    assert list(folder.left(settings)) == [0, 1]
    assert not [*folder.photos.iterdir(), *folder.faces.iterdir()]
    folder.keep(FINISHED)
    assert list(folder.left(settings)) == [1]


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    folder, _ = begun(tmp_path)
    (folder.photos / ".part-000000.parquet.unfinished").write_bytes(b"half")
    folder.clean()
    assert not list(folder.photos.iterdir())


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(Refused, match=r"has other things in it \(thesis.txt\)"):
        RunFolder(tmp_path).create()
    with pytest.raises(Refused, match="can't be used"):
        RunFolder(tmp_path / "thesis.txt").create()


def test_a_second_run_in_one_folder_is_refused_and_named(tmp_path: Path) -> None:
    with (
        only_one(tmp_path),
        pytest.raises(Refused, match=f"process {os.getpid()} of .* is at work in"),
        only_one(tmp_path),
    ):
        pass
    with only_one(tmp_path):  # what its holder left is no lock
        assert (tmp_path / "run.lock").read_text().startswith("process ")


def test_a_run_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    folder, _ = begun(tmp_path)
    run = folder.path / "run.json"
    run.write_text(run.read_text().replace('"version": 1\n}', '"version": 2\n}'))
    with pytest.raises(Refused, match="is of version 2, and this program reads 1"):
        folder.settings()
    run.write_text("{}")
    with pytest.raises(Refused, match="describes no run"):
        folder.settings()


@pytest.mark.parametrize(
    "damage",
    [
        {"chunk_size": 0},
        {"inputs": "4"},
        {"sources": [1]},
        {"tasks": ["nobody's"]},
        {"answered_by": {"contract": [], "network": "", "precision": "", "versions": {}}},
    ],
    ids=str,
)
def test_a_run_whose_description_was_edited_is_refused(tmp_path: Path, damage: dict[str, object]) -> None:
    folder, _ = begun(tmp_path)
    run = folder.path / "run.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | damage))
    with pytest.raises(Refused, match="describes no run"):
        folder.settings()


def test_a_listing_that_lost_inputs_is_never_taken_for_the_whole(tmp_path: Path) -> None:
    folder, settings = begun(tmp_path)
    part = folder.path / "inputs" / "part-000000.parquet"
    data = part.read_bytes()
    part.unlink()
    with pytest.raises(Stopped, match="does not have the inputs 2 to 3"):
        folder.work(Todo(chunk=1), settings)
    part.write_bytes(data[:4] + b"\xff" * 60 + data[64:])
    with pytest.raises(Stopped, match="can't be read"):
        folder.work(Todo(chunk=1), settings)


@pytest.mark.parametrize("lost", ["run.json", "inputs"])
def test_results_whose_run_is_lost_are_not_those_of_a_new_one(tmp_path: Path, lost: str) -> None:
    folder, _ = begun(tmp_path)
    folder.keep(FINISHED)
    (folder.path / lost).rename(tmp_path / "away")
    folder.create()
    with pytest.raises(Refused, match=f"has results of a run, and its {lost} is gone"):
        folder.fresh_listing()
    (tmp_path / "away").rename(folder.path / lost)
    assert folder.begun


def test_a_path_that_is_no_text_is_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    settings = run_settings(sources=(os.fsdecode(b"/photos \xff"),))
    listing.write_listing([Listed(address="/a.jpg")], folder.fresh_listing())
    folder.begin(settings)
    assert folder.settings() == settings


@pytest.mark.parametrize("call", ["open", "flock"])
def test_a_folder_that_takes_no_lock_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fails(*_: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(lock, "os" if call == "open" else "fcntl", _Failing(lock, call, fails))
    with pytest.raises(Refused, match=r"\(Read-only file system\)"), only_one(tmp_path):
        pass


class _Failing:
    """A module of which one function fails."""

    def __init__(self, where: ModuleType, call: str, fails: Callable[..., int]) -> None:
        self._module = getattr(where, "os" if call == "open" else "fcntl")
        setattr(self, call, fails)

    def __getattr__(self, name: str) -> object:
        return getattr(self._module, name)
