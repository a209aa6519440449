"""Prepared sets: what is written, what a kill and a full disk leave, what is refused."""

import dataclasses
import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from webdataset.tariterators import group_by_keys, tar_file_expander

from tests.helpers.faces.synthetic_sets import made_face
from tests.helpers.paths import ROOT
from training.data.labels import checked, checked_mask
from training.data.prepared.check import check_set
from training.data.prepared.face_set import FaceSet
from training.data.prepared.shard import Face
from training.data.prepared.writer import ShardWriter, margin_of, write_set
from training.tasks import CATALOGUE

SIZE = 56
MARGIN = margin_of(SIZE)
SIDE = SIZE + 2 * MARGIN


def _face(i: int, **changes: Any) -> Face:
    pixels = cv2.resize(np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8), (SIDE, SIDE))
    face = Face(key=f"people/{i}.png", pixels=np.asarray(pixels, np.uint8), labels={"age": [i, i + 1]})
    return dataclasses.replace(face, **changes)


def _write(folder: pathlib.Path, count: int = 7, **about: Any) -> dict[str, Any]:
    return write_set(folder, (_face(i) for i in range(count)), size=SIZE, **about)


def _files(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_webdataset_reads_the_shards_as_they_are(tmp_path: pathlib.Path) -> None:
    mask = np.full((SIDE, SIDE), 3, np.uint8)
    faces = [
        _face(0, person="Ann", masks={"parsing": mask}, forward=np.array([[2.0, 0, 5], [0, 2, 6]])),
        _face(1, split="test", labels={"gender": "female"}, confidence={"gender": 0.25}),
    ]
    write_set(tmp_path / "made", faces, size=SIZE)
    shard = tmp_path / "made" / "shard-000000.tar"
    with shard.open("rb") as stream:
        members = tar_file_expander([{"url": str(shard), "stream": stream}])
        first, second = list(group_by_keys(members))
    picture = cv2.imdecode(np.frombuffer(first["jpg"], np.uint8), cv2.IMREAD_COLOR_RGB)
    about, about_second = json.loads(first["json"]), json.loads(second["json"])
    assert np.abs(picture.astype(int) - faces[0].pixels).mean() < 2
    assert (cv2.imdecode(np.frombuffer(first["parsing.png"], np.uint8), 0) == mask).all()
    assert about["key"] == "people/0.png"
    assert about["person"] == "Ann"
    assert about["labels"] == {"age": [0, 1]}
    assert about["forward"] == [[2, 0, 5], [0, 2, 6]]
    assert about_second["split"] == "test"
    assert about_second["confidence"] == {"gender": 0.25}


def test_the_manifest_says_what_a_set_is_and_of_whom(tmp_path: pathlib.Path) -> None:
    faces = [_face(0), _face(1, split="test", labels={"age": [3, 3]}, labelled_by={"age": "a teacher"})]
    with ShardWriter(tmp_path / "made", title="Made", licence="CC0", size=SIZE, detector="abc") as writer:
        writer.skip("unreadable", "broken.png: cut short")
        for face in faces:
            writer.add(face)
        writer.finish(subset=True)
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text())
    assert (manifest["name"], manifest["title"], manifest["licence"]) == ("made", "Made", "CC0")
    assert manifest["crop"] == {"size": SIZE, "margin": MARGIN}
    assert manifest["faces"] == {"train": 1, "test": 1}
    assert manifest["tasks"] == {"age": ["years"]}
    assert manifest["labelled"] == {"age": 2}
    assert manifest["labelled_by"] == {"age": "a teacher and human"}
    assert manifest["skipped"] == {"unreadable": {"count": 1, "first": ["broken.png: cut short"]}}
    assert manifest["subset"] is True
    assert manifest["detector"] == "abc"
    assert check_set(tmp_path / "made") == {"train": 1, "test": 1}


def test_of_many_left_out_all_are_counted_and_a_hundred_named(tmp_path: pathlib.Path) -> None:
    with ShardWriter(tmp_path / "made", size=SIZE) as writer:
        for i in range(150):
            writer.skip("no_face", f"{i}.png")
        writer.add(_face(0))
        manifest = writer.finish()
    assert manifest["skipped"]["no_face"]["count"] == 150
    assert len(manifest["skipped"]["no_face"]["first"]) == 100


def test_a_stopped_set_is_gone_on_with_and_ends_with_the_bytes_of_an_unbroken_one(
    tmp_path: pathlib.Path,
) -> None:
    settings: dict[str, Any] = {"size": SIZE, "shard_faces": 3, "options": {"seed": 1}}
    _write(tmp_path / "unbroken" / "made", **{k: v for k, v in settings.items() if k != "size"})
    folder = tmp_path / "broken" / "made"
    with ShardWriter(folder, **settings) as writer:
        for i in range(5):
            writer.add(_face(i))
    assert not folder.exists()
    with ShardWriter(folder, **settings) as writer:
        assert writer.processed == 3  # what was behind the last whole shard is done again
        for i in range(writer.processed, 7):
            writer.add(_face(i))
        writer.finish()
    assert _files(folder) == _files(tmp_path / "unbroken" / "made")
    assert not folder.with_name("made.partial").exists()


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.helpers.faces.synthetic_sets import made_face
from training.tasks import CATALOGUE
from training.data.prepared import partial, shard, writer as writer_module
from training.data.prepared.writer import ShardWriter

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

target, size = sys.argv[1], int(sys.argv[3])
victim, at = sys.argv[2].split(".")
owners = {"PartialSet": partial.PartialSet, "Path": Path, "shard": shard, "writer": writer_module}
setattr(owners[victim], at, kill)
with ShardWriter(Path(target), size=size, shard_faces=3, options={"seed": 1}) as writer:
    for i in range(writer.processed, 7):
        writer.add(made_face(i, [CATALOGUE["age"]], size=size, seed=0))
    writer.finish()
"""


@pytest.mark.parametrize(
    "moment",
    [
        "PartialSet.save",
        "shard.write_durably",
        "writer.write_durably",
        "PartialSet.publish",
        "Path.rename",
        "Path.unlink",
    ],
)
def test_killed_at_any_moment_the_next_process_ends_with_the_same_set(
    tmp_path: pathlib.Path, moment: str
) -> None:
    _write_on(tmp_path / "unbroken" / "made")
    folder = tmp_path / "killed" / "made"
    command = [sys.executable, "-c", _KILLED, str(folder), moment, str(SIZE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    _write_on(folder)
    assert _files(folder) == _files(tmp_path / "unbroken" / "made")
    assert [path.name for path in folder.parent.iterdir()] == ["made"]


def _write_on(folder: pathlib.Path) -> None:
    with ShardWriter(folder, size=SIZE, shard_faces=3, options={"seed": 1}) as writer:
        for i in range(writer.processed, 7):
            writer.add(made_face(i, [CATALOGUE["age"]], size=SIZE, seed=0))
        writer.finish()


def test_a_set_begun_with_other_options_is_not_gone_on_with(tmp_path: pathlib.Path) -> None:
    with ShardWriter(tmp_path / "made", size=SIZE, shard_faces=1, options={"limit": 5}) as writer:
        writer.add(_face(0))
    with pytest.raises(ValueError, match=r"begun with other options \(limit was 5 and is 6\)"):
        ShardWriter(tmp_path / "made", size=SIZE, options={"limit": 6})


def test_two_processes_do_not_write_one_set(tmp_path: pathlib.Path) -> None:
    with ShardWriter(tmp_path / "made", size=SIZE) as writer:
        with pytest.raises(ValueError, match="another process is preparing"):
            ShardWriter(tmp_path / "made", size=SIZE)
        writer.add(_face(0))
        writer.finish()
    ShardWriter(tmp_path / "made", size=SIZE).close()  # the lock is gone
    assert len(FaceSet(tmp_path / "made")) == 1


def test_a_folder_that_is_no_prepared_set_is_never_replaced(tmp_path: pathlib.Path) -> None:
    (tmp_path / "celeba").mkdir()
    (tmp_path / "celeba" / "list_attr_celeba.txt").write_text("dear data")
    with pytest.raises(ValueError, match="is not a prepared set"):
        ShardWriter(tmp_path / "celeba")
    assert _files(tmp_path / "celeba") == {"list_attr_celeba.txt": b"dear data"}


def test_a_new_set_takes_the_old_one_s_place(tmp_path: pathlib.Path) -> None:
    _write(tmp_path / "made", count=2)
    _write(tmp_path / "made", count=5)
    assert len(FaceSet(tmp_path / "made")) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_full_disk_leaves_the_old_set_and_the_whole_shards(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "made", count=2)
    before = _files(tmp_path / "made")
    synced = iter(range(1000))
    fsync = os.fsync

    def full_after_a_while(descriptor: int) -> None:
        if next(synced) >= 6:  # three a shard
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_after_a_while)
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path / "made", shard_faces=2)
    monkeypatch.undo()
    assert _files(tmp_path / "made") == before
    with ShardWriter(tmp_path / "made", size=SIZE, shard_faces=2) as writer:
        assert writer.processed == 4
        for i in range(4, 7):
            writer.add(_face(i))
        writer.finish()
    assert len(FaceSet(tmp_path / "made")) == 7


def test_a_set_without_a_face_is_refused_and_leaves_nothing(tmp_path: pathlib.Path) -> None:
    with ShardWriter(tmp_path / "made") as writer:
        writer.skip("no_face", "wall.jpg: the detector finds none")
        with pytest.raises(ValueError, match=r"would have no face \(left out: 1 no face, the first is wall"):
            writer.finish()
    assert not list(tmp_path.iterdir())


_MASK = np.zeros((SIDE, SIDE), np.uint8)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"labels": {"age": [20, 10]}}, "age is 20 to 10"),
        ({"labels": {"age": [float("nan")] * 2}}, "age is not a finite number"),
        ({"labels": {"age": [200, 200]}}, "age is 200 to 200 years, out of 0 to 130"),
        ({"labels": {"age": 20}}, "age is 20, which is no label"),
        ({"labels": {"gender": "woman"}}, "gender is 'woman', which the catalogue does not have"),
        ({"labels": {"gender": {"female": 0.5, "male": 0.2}}}, "sum to 0.7"),
        ({"labels": {"action_units": {"AU3": 1.0}}}, "'AU3', which the catalogue does not have"),
        ({"labels": {"action_units": {"AU1": 999}}}, "AU1 is 999, out of 0 to 1"),
        ({"labels": {"action_units": {"AU1": float("nan")}}}, "AU1 is nan, out of 0 to 1"),
        ({"labels": {"head_pose": [0, 0, 400]}}, "400 degrees"),
        ({"labels": {"landmarks": [[1, 2]] * 5}}, "has 5 points, not 68"),
        ({"labels": {"landmarks": [[1, 2, 3]] * 68}}, "which is no label"),
        ({"labels": {"mood": "good"}}, "'mood' is not in the catalogue"),
        ({"labels": {"parsing": [0]}}, "is given as a picture"),
        ({"masks": {"parsing": _MASK + 19}}, "has class 19, past the last, 18"),
        ({"masks": {"parsing": _MASK[1:]}}, "a mask is not of the crop's size"),
        ({"masks": {"age": _MASK}}, "'age' has no masks"),
        ({"pixels": np.zeros((SIDE, SIDE), np.uint8)}, "its crop has shape"),
        ({"split": "dev"}, "split 'dev' is none of"),
        ({"confidence": {"age": 1.5}}, "confidence is out of 0 to 1"),
    ],
)
def test_a_bad_label_is_refused_with_the_face_s_name_before_anything_is_written(
    tmp_path: pathlib.Path, changes: dict[str, Any], why: str
) -> None:
    with ShardWriter(tmp_path / "made", size=SIZE) as writer:
        with pytest.raises(ValueError, match=r"people/0\.png: ") as caught:
            writer.add(_face(0, **changes))
        assert why in str(caught.value)
        assert writer.processed == 0
        writer.add(_face(1))
        writer.finish()
    assert list(FaceSet(tmp_path / "made").keys) == ["people/1.png"]


def test_labels_that_say_nothing_are_no_labels() -> None:
    assert checked("landmarks", [None] * 68) is None
    assert checked("action_units", {}) is None
    assert checked("expression", {}) is None
    assert (checked_mask("parsing", np.full((2, 2), 255, np.uint8)) == 255).all()


def test_a_point_far_outside_its_picture_is_a_mistake_and_one_near_it_a_guess() -> None:
    points: list[Any] = [None] * len(CATALOGUE["landmarks"].labels)
    points[3] = [-20, 50]
    assert checked("landmarks", points, picture=(100, 60))[3] == [-20, 50]
    points[3] = [-120, 50]
    with pytest.raises(ValueError, match=r"jaw_3 is \(-120, 50\), far outside the picture of 100x60"):
        checked("landmarks", points, picture=(100, 60))


@pytest.fixture
def damaged(tmp_path: pathlib.Path) -> pathlib.Path:
    _write(tmp_path / "made")
    return tmp_path / "made"


@pytest.mark.parametrize("damage", ["shard", "missing", "index", "other index"])
def test_a_check_names_what_is_damaged(damaged: pathlib.Path, tmp_path: pathlib.Path, damage: str) -> None:
    shard, table = damaged / "shard-000000.tar", damaged / "index.npz"
    if damage == "shard":
        shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    elif damage == "missing":
        shard.unlink()
    elif damage == "index":
        table.write_bytes(table.read_bytes()[:100])
    else:
        _write(tmp_path / "other", count=3)
        table.write_bytes((tmp_path / "other" / "index.npz").read_bytes())
    name = "shard-000000.tar" if damage in ("shard", "missing") else "index.npz"
    with pytest.raises(ValueError, match=f"{name} is .*prepare the set again"):
        check_set(damaged)
