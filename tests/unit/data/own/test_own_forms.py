"""Folders by class, COCO and tars: each read as what it is, and what is wrong in it told."""

import bz2
import gzip
import io
import json
import lzma
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.own_tables import samples
from training.data.addresses import Address
from training.data.own.describe import describe
from training.data.own.opening import open_source
from training.data.own.source import Settings
from training.data.reader import LayoutError
from training.data.sample import BadSample, Sample
from training.tasks import BUILT_IN, CATALOGUE

CLASSES = next(task for task in CATALOGUE.values() if task.kind == "classes" and not task.sensitive)
SEVERAL = next(task for task in CATALOGUE.values() if task.kind == "multilabel" and len(task.labels) > 2)
VALUE = next(task for task in CATALOGUE.values() if task.kind == "value")
ROTATION = next(task for task in CATALOGUE.values() if task.kind == "rotation")
MASK = next(task for task in CATALOGUE.values() if task.kind == "mask")
POINTS = next(task for task in CATALOGUE.values() if task.kind == "points")
FIRST, SECOND = CLASSES.labels[:2]


pytestmark = pytest.mark.usefixtures("catalogue_restored")


def decoded(sample: Sample) -> NDArray[np.uint8]:
    """The picture of a sample that has no file."""
    assert not isinstance(sample.picture, Path)
    return sample.picture()


# Tables -------------------------------------------------------------------------------------------------


def _in_folders(root: Path, portrait: bytes, places: list[str]) -> Path:
    for place in places:
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / "a.jpg").write_bytes(portrait)
    return root


def test_folders_by_class_define_a_task_that_nobody_has(tmp_path: Path, portrait: bytes) -> None:
    folder = _in_folders(tmp_path / "shop", portrait, ["glasses", "none"])
    found = samples(folder, task="eyewear")
    assert CATALOGUE["eyewear"].labels == ("glasses", "none")
    assert {(s.key, s.labels["eyewear"]) for s in found if isinstance(s, Sample)} == {
        ("glasses/a.jpg", "glasses"),
        ("none/a.jpg", "none"),
    }


def test_folders_of_splits_lie_around_those_of_classes(tmp_path: Path, portrait: bytes) -> None:
    places = [f"{split}/{label}" for split in ("train", "val") for label in (FIRST, SECOND.upper())]
    found = samples(_in_folders(tmp_path / "shop", portrait, places), task=CLASSES.name)
    assert {(s.split, s.labels[CLASSES.name]) for s in found if isinstance(s, Sample)} == {
        ("train", FIRST),
        ("train", SECOND),
        ("validation", FIRST),
        ("validation", SECOND),
    }


def test_what_folders_have_and_is_not_read_is_told(tmp_path: Path, portrait: bytes) -> None:
    folder = _in_folders(
        tmp_path / "shop", portrait, ["glasses/.cache", "__MACOSX/glasses", "glasses", "none"]
    )
    (folder / "sunglasses").mkdir()
    (folder / "hat").mkdir()
    for name in ("hat/a.bmp", "hat/b.gif", "none/a.heic", "none/notes.txt", "none/._a.jpg", "loose.jpg"):
        (folder / name).write_bytes(portrait)
    (tmp_path / "other.jpg").write_bytes(portrait)
    (folder / "none" / "link.jpg").symlink_to(tmp_path / "other.jpg")
    source = open_source(folder, Settings(task="eyewear"))
    assert [(s.key, isinstance(s, Sample)) for s in source.read()] == [
        ("glasses/a.jpg", True),
        ("none/a.jpg", True),
        ("none/link.jpg", False),
    ]
    assert [line.removeprefix(str(folder)).partition(":")[0] for line in source.not_read] == [
        " has 1 pictures beside the classes' folders",
        "/hat has no picture (1 .bmp, 1 .gif), so it is no class",
        "/none has files that are not read (1 .heic)",
        "/sunglasses has no picture (it is empty), so it is no class",
    ]
    assert describe(source, pictures=False).faults[:4] == [*source.not_read]


@pytest.mark.parametrize(
    ("places", "task", "complaint"),
    [
        ([], "eyewear", "no folders with pictures"),
        (["none", "train/none"], "eyewear", "a folder train, as a split is called, beside the class none"),
        (["one", "two"], None, "say with --task"),
        (["one", "two"], VALUE.name, "use a table"),
        (["one", FIRST], CLASSES.name, "the folder one of .*: it is one of"),
        (["one"], "eyewear", "2 or more"),
    ],
)
def test_folders_that_are_no_classes_are_refused(
    places: list[str], task: str | None, complaint: str, tmp_path: Path, portrait: bytes
) -> None:
    (tmp_path / "shop").mkdir()
    with pytest.raises(ValueError, match=complaint):
        open_source(_in_folders(tmp_path / "shop", portrait, places), Settings(task=task))
    assert CATALOGUE.keys() == BUILT_IN


def test_coco_s_boxes_categories_and_attributes_are_read(pictures: Path) -> None:
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": FIRST, "keypoints": list(POINTS.labels[:2])}],
        "annotations": [
            {
                "image_id": 7,
                "category_id": 1,
                "bbox": [10, 20, 100, 50],
                "attributes": {VALUE.name: 31},
                "keypoints": [1, 2, 2, 0, 0, 0],
            },
            {"image_id": 8, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"image_id": 7, "category_id": 1, "bbox": "wide"},
        ],
    }
    (pictures / "faces.json").write_text(json.dumps(content))
    face, strange, wide = samples(pictures / "faces.json", task=CLASSES.name)
    assert isinstance(face, Sample)
    assert list(face.box or ()) == [10, 20, 110, 70]
    assert face.labels[CLASSES.name] == FIRST
    assert face.labels[VALUE.name] == [31, 31]
    assert face.labels[POINTS.name][:2] == [[1, 2], None]
    assert isinstance(strange, BadSample)
    assert isinstance(wide, BadSample)


FACE = {"image_id": 7, "category_id": 1, "attributes": {VALUE.name: 31}}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"images": [{"file_name": "a.jpg"}]}, "number 1 of its images is .*: write an object with an id"),
        ({"images": ["a.jpg"]}, "number 1 of its images"),
        ({"images": [{"id": 7}, {"id": 7}]}, "two images with the id 7"),
        ({"categories": ["face"]}, "number 1 of its categories"),
        ({"categories": {"1": "face"}}, "number 1 of its categories"),
        ({"categories": [{"name": "face"}]}, "number 1 of its categories"),
        ({"categories": [{"id": 1, "keypoints": 5}]}, "keypoints of its categories are 5"),
        ({"annotations": []}, "has no annotation"),
        ({"annotations": [{"image_id": 7, "category_id": 1}]}, f"categories are {FIRST}: say with --task"),
        ({"annotations": [FACE, FACE | {"image_id": [7]}]}, "its image_id is none of the images"),
        ({"annotations": [FACE, FACE | {"category_id": [1]}]}, "its category_id is none"),
        ({"annotations": [FACE, FACE | {"attributes": [1]}]}, r"its attributes are \[1\], and no object"),
        ({"annotations": [FACE, FACE | {"keypoints": 5}]}, "its keypoints are no list of three numbers"),
        ({"annotations": [FACE, FACE | {"bbox": [1, 2, 3, 10**400]}]}, "its bbox is"),
        ({"annotations": [FACE, 5]}, "it is 5, and no object"),
    ],
)
def test_what_is_not_written_as_coco_s_is_told(change: Any, complaint: str, pictures: Path) -> None:
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": FIRST, "keypoints": list(POINTS.labels[:2])}],
        "annotations": [FACE],
    } | change
    (pictures / "faces.json").write_text(json.dumps(content))
    try:
        _, bad = samples(pictures / "faces.json")
    except LayoutError as error:
        assert re.search(complaint, str(error))  # noqa: PT017 - the whole file, or one row of it
    else:
        assert isinstance(bad, BadSample)
        assert re.search(complaint, bad.reason)


def _tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_tars_have_pictures_beside_json_or_a_class(tmp_path: Path, portrait: bytes) -> None:
    _tar(
        tmp_path / "0.tar",
        {
            "x/1.jpg": portrait,
            "x/1.json": json.dumps({VALUE.name: 30, "split": "test"}).encode(),
            "x/2.jpg": portrait,
            "x/2.cls": b"1",
            "x/3.json": b"{}",
        },
    )
    one, two, none = samples(tmp_path, task=CLASSES.name)
    assert isinstance(one, Sample)
    assert (one.key, one.split, one.labels) == ("0.tar:x/1", "test", {VALUE.name: [30, 30]})
    assert decoded(one).shape == (200, 210, 3)
    assert isinstance(two, Sample)
    assert two.labels == {CLASSES.name: SECOND}
    assert isinstance(none, BadSample)


def test_classes_in_tars_want_the_name_of_their_task(tmp_path: Path, portrait: bytes) -> None:
    _tar(tmp_path / "0.tar", {"1.jpg": portrait, "1.cls": b"1"})
    with pytest.raises(LayoutError, match=r"its \.cls files are classes: say with --task"):
        samples(tmp_path)


@pytest.mark.parametrize("where", ["here", "streamed"])
@pytest.mark.parametrize("packed", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_that_was_cut_anywhere_or_changed_under_its_checksum_is_told(
    packed: Callable[[bytes], bytes], where: str, tmp_path: Path
) -> None:
    file = tmp_path / "0.tar"
    source = file if where == "here" else Address(f"file://{file}")
    content = json.dumps({VALUE.name: 30}).encode()
    members = {f"{i}.{suffix}": content for i in range(4) for suffix in ("jpg", "json")}
    whole = packed(_tar(file, members).read_bytes()[: 512 * 17])  # with one of the two blocks that end it
    file.write_bytes(whole)
    assert len(samples(source)) == 4
    step = 256 if packed is bytes else max(1, len(whole) // 12)
    for size in range(0, len(whole), step):
        file.write_bytes(whole[:size])
        with pytest.raises(LayoutError, match=r"^[^\n]*0\.tar is no whole tar \([^\n]*\): fetch it again$"):
            samples(source)
    changed = 1024 + 100 if packed is bytes else len(whole) - 6  # in a header, or in what is told at the end
    file.write_bytes(whole[:changed] + bytes([whole[changed] ^ 1]) + whole[changed + 1 :])
    with pytest.raises(LayoutError, match="is no whole tar"):
        samples(source)
