"""Data of one's own becomes a prepared set; what `describe` finds in it, near copies among that."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.helpers.own_tables import written
from training.data.__main__ import main
from training.data.inventory import take_inventory
from training.data.own.describe import describe
from training.data.own.near_copies import DISTANCE, near_copies, perceptual_hash
from training.data.own.opening import open_source, own_reader
from training.data.own.source import Settings
from training.data.prepared.face_set import FaceSet
from training.tasks import CATALOGUE

CLASSES = next(task for task in CATALOGUE.values() if task.kind == "classes" and not task.sensitive)
VALUE = next(task for task in CATALOGUE.values() if task.kind == "value")
FIRST, SECOND = CLASSES.labels[:2]

pytestmark = pytest.mark.usefixtures("catalogue_restored")


def test_a_table_becomes_a_prepared_set(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"path": f"{name}.jpg", "split": "train", "eyewear": "none"} for name in "abc"]
    source = written(pictures, [*rows, {"path": "d.jpg", "split": "test", "eyewear": "glasses"}])
    (pictures / "tasks.toml").write_text('[eyewear]\nkind = "classes"\nlabels = ["none", "glasses"]\n')
    words = ["prepare", "own", "--source", str(source), "--output", str(pictures / "out")]
    assert main([*words, "--set-name", "shop", "--tasks", str(pictures / "tasks.toml")]) == 0
    assert "faces 3 for train, 1 for test" in capsys.readouterr().out
    del CATALOGUE["eyewear"]
    faces = FaceSet(pictures / "out" / "shop", split="test")
    assert faces.columns["eyewear"].tolist() == [[0, 1]]
    assert faces.manifest["licence"] == "private"


def test_a_set_is_kept_from_another_source_and_prepared_anew_with_mended_pictures(
    pictures: Path, portrait: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(pictures, [{"path": f"{name}.jpg", VALUE.name: 30} for name in "ab"])
    (pictures / "a.jpg").write_bytes(portrait[:3000])
    words = ["prepare", "own", "--output", str(pictures / "out"), "--max-unreadable", "0.5", "--source"]
    manifest = pictures / "out" / "faces" / "manifest.json"
    assert main([*words, str(source)]) == 0
    assert "left out 1 unreadable" in capsys.readouterr().out
    assert main([*words, str(source)]) == 0
    assert "faces is as it was prepared before: delete it" in capsys.readouterr().out
    (pictures / "a.jpg").write_bytes(portrait)
    assert main([*words, str(source)]) == 0
    out = capsys.readouterr().out
    assert "left out none" in out
    assert "as it was" not in out
    (pictures / "other").mkdir()
    (pictures / "other" / "c.jpg").write_bytes(portrait)
    other = written(pictures / "other", [{"path": "c.jpg", VALUE.name: 40}])
    kept = manifest.read_text()
    assert str(pictures) not in kept
    assert main([*words, str(other)]) == 2
    said = capsys.readouterr().err
    assert "another source that is called faces.csv" in said
    assert "give --set-name another name, or delete" in said
    assert manifest.read_text() == kept
    old = json.loads(kept)  # as earlier versions wrote it
    del old["source"], old["options"]["pictures"]
    manifest.write_text(json.dumps(old))
    assert main([*words, str(source)]) == 0
    assert "is as it was prepared before" in capsys.readouterr().out
    (manifest.parent / "shard-000000.tar").unlink()  # a set that lacks a part is prepared again
    assert main([*words, str(source)]) == 0
    assert main(["check", str(manifest.parent)]) == 0
    manifest.write_text(json.dumps(old))
    assert main([*words, str(other)]) == 0
    assert len(FaceSet(manifest.parent, split=next(iter(json.loads(manifest.read_text())["faces"])))) == 1


def test_pictures_in_a_table_that_were_mended_are_told_from_those_before(
    tmp_path: Path, portrait: bytes
) -> None:
    sizes = []
    for content in (portrait[:3000], portrait):
        source = written(tmp_path, [{"path": "a", "bytes": content, VALUE.name: 3}], name="faces.parquet")
        found = take_inventory(own_reader(source, Settings()), source)
        sizes.append((found.digest, found.sizes))
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] != sizes[1][1]


def test_why_nothing_can_be_prepared_or_read_is_told(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(pictures, [{"path": f"{name}.jpg", CLASSES.name: "hungry"} for name in "ab"])
    assert main(["prepare", "own", "--source", str(source), "--output", str(pictures / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"2 of 2 entries of {source} can't be read: mend them, the first is a.jpg (")
    assert len(said.splitlines()) == 1
    source.write_text(f"path,{CLASSES.name}\n")
    assert main(["prepare", "own", "--source", str(source), "--output", str(pictures / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"{source} names no picture: give a source that has a row")
    assert main(["describe", str(source)]) == 1
    assert "no face can be read" in capsys.readouterr().out


def test_a_report_shows_some_of_many_labels_and_names_that_are_no_text(
    pictures: Path, portrait: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = b"\xff.jpg".decode("utf-8", "surrogateescape")
    for i in range(3):
        (pictures / "in" / f"c{i}").mkdir(parents=True)
        (pictures / "in" / f"c{i}" / "a.jpg").write_bytes(portrait)
    (pictures / "in" / "c0" / odd).write_bytes(b"no picture")
    monkeypatch.setattr("training.data.own.report._ROWS", 2)
    words = ["describe", str(pictures / "in"), "--task", "many", "--report", str(pictures / "report")]
    assert main(words) == 1
    report = (pictures / "report" / "report.md").read_text()
    assert "c0/\\udcff.jpg" in report
    assert "Some faces of the first 2 of 3 labels" in report
    assert cv2.imread(str(pictures / "report" / "sheet.jpg")).shape[0] == 2 * 118

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.data.__main__.write_report", full)
    assert main(words) == 2
    assert f"the disk under {pictures}/report is full: make room" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["celeba", "own", "Shop", "a-b"])
def test_a_set_s_name_is_its_own(name: str, pictures: Path) -> None:
    source = written(pictures, [{"path": "a.jpg", VALUE.name: 30}])
    with pytest.raises(ValueError, match="set-name"):
        own_reader(source, Settings(), name=name)


def test_a_description_has_counts_faults_and_examples(
    pictures: Path, portrait: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "d.jpg").write_bytes(b"no picture")
    rows = [
        {"path": "a.jpg", "split": "train", "person": "p", CLASSES.name: FIRST},
        {"path": "b.jpg", "split": "test", "person": "p", CLASSES.name: SECOND},  # a's copy
        {"path": "b.jpg", "split": "test", "person": "q", CLASSES.name: SECOND},
        {"path": "d.jpg", "split": "train", "person": "r", CLASSES.name: FIRST},
        {"path": "e.jpg", "split": "train", "person": "r", CLASSES.name: FIRST},
        {"path": "c.jpg", "split": "train", "person": "r", CLASSES.name: "hungry"},
    ]
    source = written(pictures, rows)
    assert main(["describe", str(source), "--report", str(pictures / "report")]) == 1
    shown = capsys.readouterr().out
    report = (pictures / "report" / "report.md").read_text()
    for text in (shown, report):
        for fault in (
            "1 rows can't be read: the first is c.jpg",
            "1 pictures are missing: the first is e.jpg",
            "1 pictures can't be decoded: the first is d.jpg",
            "1 rows name a face a second time: the first is b.jpg",
            "nearly the same in two splits",
            "1 persons are in several splits: p is one",
            f"no face for training has {CLASSES.name} {SECOND}",
        ):
            assert fault in text, fault
    assert cv2.imread(str(pictures / "report" / "sheet.jpg")) is not None


def test_sound_data_has_no_fault(pictures: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        noise = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        assert cv2.imwrite(str(pictures / f"{name}.jpg"), cv2.resize(noise[::8, ::8], (64, 64)))
    rows = [
        {"path": "a.jpg", "split": "train", VALUE.name: 3},
        {"path": "b.jpg", "split": "test", VALUE.name: 4},
    ]
    found = describe(open_source(written(pictures, rows), Settings()))
    assert found.faults == []
    assert found.labelled[VALUE.name] == {"train": 1, "test": 1}


def test_copies_are_found_after_compression_and_resizing_and_others_are_not(portrait: bytes) -> None:
    face = cv2.imdecode(np.frombuffer(portrait, np.uint8), cv2.IMREAD_COLOR)
    poor = cv2.imencode(".jpg", cv2.resize(face, (90, 86)), [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    copies = [face, cv2.imdecode(poor, cv2.IMREAD_COLOR), cv2.convertScaleAbs(face, alpha=0.8, beta=20)]
    others = [
        cv2.flip(face, 1),
        face[30:, 30:],
        np.random.default_rng(0).integers(0, 256, face.shape, np.uint8),
    ]
    hashes = [perceptual_hash(np.asarray(picture, np.uint8)) for picture in (*copies, *others)]
    assert all((hashes[0] ^ value).bit_count() <= DISTANCE for value in hashes[:3])
    assert all((hashes[0] ^ value).bit_count() > DISTANCE for value in hashes[3:])


def test_every_pair_that_is_near_enough_is_found_across_splits() -> None:
    random = np.random.default_rng(0)
    hashes = [int(value) for value in random.integers(0, 2**63, 200)]
    for i in range(0, 200, 10):  # the next one differs in a few bits
        bits = random.choice(64, size=random.integers(0, 7), replace=False)
        hashes[i + 1] = hashes[i] ^ sum(1 << int(bit) for bit in bits)
    splits = [("train", "test")[int(n)] for n in random.integers(0, 2, 200)]
    expected = [
        (i, k)
        for i in range(200)
        for k in range(i + 1, 200)
        if splits[i] != splits[k] and (hashes[i] ^ hashes[k]).bit_count() <= DISTANCE
    ]
    assert near_copies(hashes, splits) == expected
    assert expected
