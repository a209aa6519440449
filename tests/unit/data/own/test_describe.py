"""Data of one's own becomes a prepared set; what `describe` finds in it, near copies among that."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.helpers.own_tables import written
from training.data.__main__ import main
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
