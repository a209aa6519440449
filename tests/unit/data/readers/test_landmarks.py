"""300W, WFLW and LaPa in their makers' form: points, splits, subsets, and what is said of bad entries."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.faces.reader_files import face, picture, pts, read
from training.data.reader import LayoutError
from training.data.readers.lapa import LAPA_OF_68
from training.data.readers.wflw import WFLW_OF_68

# Points that everyone agrees on, by their index among iBUG's 68.
CHIN, NOSE_TIP, NOSE_BASE, MOUTH = 8, 30, 33, (48, 54)
EYE_CORNERS = (36, 39, 42, 45)


def set_of_300w(root: Path) -> None:
    names = {
        "afw/134212_1.jpg": 0,
        "helen/trainset/100032540_1.jpg": 1,
        "helen/testset/296814969_3.jpg": 2,
        "lfpw/trainset/image_0001.png": 3,
        "lfpw/testset/image_0001.png": 4,
        "ibug/image_092 _01.jpg": 5,
    }
    for name, shift in names.items():
        picture(root / name)
        pts((root / name).with_suffix(".pts"), face(shift=shift))


@pytest.mark.parametrize("below", ["", "images"])
def test_300w_gives_the_fields_split_and_subsets(tmp_path: Path, below: str) -> None:
    set_of_300w(tmp_path / below)
    good, bad = read("300w", tmp_path)
    assert not bad
    found = {sample.key.removeprefix("images/"): (sample.split, sample.subset) for sample in good}
    assert found == {
        "afw/134212_1.jpg": ("train", ""),
        "helen/trainset/100032540_1.jpg": ("train", ""),
        "lfpw/trainset/image_0001.png": ("train", ""),
        "helen/testset/296814969_3.jpg": ("test", "common"),
        "lfpw/testset/image_0001.png": ("test", "common"),
        "ibug/image_092 _01.jpg": ("test", "challenge"),
    }


def test_300w_counts_pixels_from_zero(tmp_path: Path) -> None:
    set_of_300w(tmp_path)
    sample = read("300w", tmp_path)[0][0]
    np.testing.assert_allclose(sample.labels["landmarks"], face() - 1)
    assert isinstance(sample.picture, Path)
    assert sample.picture.is_file()


def test_300w_names_what_is_wrong_with_an_entry_and_passes_over_mirrored_copies(tmp_path: Path) -> None:
    set_of_300w(tmp_path)
    pts(tmp_path / "afw" / "134212_1_mirror.pts", face())
    pts(tmp_path / "afw" / "alone.pts", face())
    for name, text in {
        "short": "version: 1\nn_points: 68\n{\n1 2\n}\n",
        "words": "version: 1\nn_points: 68\n{\n" + "1 two\n" * 68 + "}\n",
        "nan": "version: 1\nn_points: 68\n{\n" + "1 nan\n" * 68 + "}\n",
        "open": "version: 1\nn_points: 68\n{\n" + "1 2\n" * 68,
    }.items():
        picture(tmp_path / "ibug" / f"{name}.jpg")
        (tmp_path / "ibug" / f"{name}.pts").write_text(text)
    (tmp_path / "ibug" / "binary.pts").write_bytes(b"\xff\xfe\x00{")
    picture(tmp_path / "ibug" / "binary.jpg")
    good, bad = read("300w", tmp_path)
    assert len(good) == 6
    assert {each.key: each.reason for each in bad} == {
        "afw/alone.pts": "its picture is not beside it",
        "ibug/binary.pts": "binary.pts is not a text file",
        "ibug/nan.pts": "nan.pts does not hold 68 points in { }",
        "ibug/open.pts": "open.pts does not hold 68 points in { }",
        "ibug/short.pts": "short.pts does not hold 68 points in { }",
        "ibug/words.pts": "words.pts has a line that is not two numbers",
    }


def test_300w_says_where_its_folders_belong(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=f"afw.*ibug belong in {tmp_path}"):
        read("300w", tmp_path)


def wflw_line(points: NDArray[np.float64], *, flags: str, name: str) -> str:
    return " ".join([*(f"{value:.6f}" for value in points.ravel()), "3 4 50 60", flags, name])


def set_of_wflw(root: Path, *, train: list[str], test: list[str]) -> None:
    (root / "WFLW_images").mkdir(parents=True)
    lists = root / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    lists.mkdir(parents=True)
    (lists / "list_98pt_rect_attr_train.txt").write_text("\n".join(train) + "\n")
    (lists / "list_98pt_rect_attr_test.txt").write_text("\n".join(test) + "\n")


def test_wflw_gives_a_sample_a_face_with_its_box_and_subsets(tmp_path: Path) -> None:
    name = "0--Parade/0_Parade_marchingband_1_116.jpg"
    lines = [
        wflw_line(face(98), flags="0 0 0 0 0 0", name=name),
        wflw_line(face(98), flags="1 0 0 0 0 1", name=name),
    ]
    test = [wflw_line(face(98), flags="0 1 1 1 1 0", name=name)]
    set_of_wflw(tmp_path, train=lines, test=test)
    good, bad = read("wflw", tmp_path)
    assert not bad
    assert [(sample.split, sample.subset) for sample in good] == [
        ("train", ""),
        ("train", "largepose,blur"),
        ("test", "expression,illumination,makeup,occlusion"),
    ]
    assert good[0].box == (3, 4, 50, 60)
    assert all(sample.picture == tmp_path / "WFLW_images" / name for sample in good)
    np.testing.assert_allclose(good[0].labels["landmarks"], face(98)[list(WFLW_OF_68)])


def test_wflw_points_lie_where_ibugs_do() -> None:
    assert len(set(WFLW_OF_68)) == 68
    by_ibug = dict(enumerate(WFLW_OF_68))
    assert (by_ibug[CHIN], by_ibug[NOSE_TIP], by_ibug[NOSE_BASE]) == (16, 54, 57)
    # WFLW's documentation: 60, 64, 68 and 72 are the corners of the eyes, 76 and 82 of the mouth.
    assert tuple(by_ibug[i] for i in EYE_CORNERS) == (60, 64, 68, 72)
    assert tuple(by_ibug[i] for i in MOUTH) == (76, 82)


def test_wflw_names_a_malformed_line(tmp_path: Path) -> None:
    good_line = wflw_line(face(98), flags="0 0 0 0 0 0", name="a.jpg")
    bad = [
        good_line.partition(" ")[2],
        good_line.replace("0 0 0 0 0 0", "0 0 2 0 0 0"),
        good_line.replace("1.000000", "one", 1),
        good_line.replace("1.000000", "nan", 1),
    ]
    set_of_wflw(tmp_path, train=[*bad, good_line], test=[good_line])
    samples, malformed = read("wflw", tmp_path)
    assert len(samples) == 2
    assert [each.key for each in malformed] == [
        f"list_98pt_rect_attr_train.txt, line {i}" for i in (1, 2, 3, 4)
    ]
    assert malformed[0].reason == "not 98 points, a box, six flags of 0 or 1 and a picture, but 206 words"


def test_wflw_says_where_a_missing_list_belongs(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=f"pictures is missing: it belongs at {tmp_path}/WFLW_images"):
        read("wflw", tmp_path)
    set_of_wflw(tmp_path, train=[], test=[])
    lists = tmp_path / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    (lists / "list_98pt_rect_attr_test.txt").unlink()
    with pytest.raises(LayoutError, match=r"test list is missing: .*list_98pt_rect_attr_test\.txt"):
        read("wflw", tmp_path)


def lapa_entry(root: Path, *, part: str, name: str, points: NDArray[np.float64]) -> None:
    picture(root / part / "images" / f"{name}.jpg")
    for folder in ("labels", "landmarks"):
        (root / part / folder).mkdir(parents=True, exist_ok=True)
    ids = np.arange(11, dtype=np.uint8).repeat(4)[None].repeat(30, axis=0)
    assert cv2.imwrite(str(root / part / "labels" / f"{name}.png"), ids)
    rows = "\n".join(f"{x:.6f} {y:.6f}" for x, y in points)
    (root / part / "landmarks" / f"{name}.txt").write_text(f"{len(points)}\n{rows}\n")


@pytest.mark.parametrize("below", ["", "LaPa"])
def test_lapa_gives_mask_points_and_split(tmp_path: Path, below: str) -> None:
    for part, name in (
        ("train", "10009865324_0"),
        ("train", "HELEN_100032540_2_0"),
        ("val", "a"),
        ("test", "b"),
    ):
        lapa_entry(tmp_path / below, part=part, name=name, points=face(106))
    good, bad = read("lapa", tmp_path)
    assert not bad
    assert [(Path(sample.key).stem, sample.split, sample.subset) for sample in good] == [
        ("10009865324_0", "train", "megaface"),
        ("HELEN_100032540_2_0", "train", "helen"),
        ("a", "validation", "megaface"),
        ("b", "test", "megaface"),
    ]
    assert good[0].mask_task == "parsing_lapa"
    assert isinstance(good[0].mask, Path)
    assert good[0].mask.relative_to(tmp_path / below) == Path("train/labels/10009865324_0.png")
    expected = np.stack([face(106)[list(indices)].mean(axis=0) for indices in LAPA_OF_68])
    np.testing.assert_allclose(good[0].labels["landmarks"], expected)


def test_lapa_points_lie_where_ibugs_do() -> None:
    assert len(LAPA_OF_68) == 68
    assert LAPA_OF_68[CHIN] == (16,)
    assert LAPA_OF_68[NOSE_TIP] == (54,)
    assert [LAPA_OF_68[i] for i in EYE_CORNERS] == [(66,), (70,), (75,), (79,)]
    assert [LAPA_OF_68[i] for i in MOUTH] == [(84,), (90,)]
    # The jaw of 33 points mirrors into itself, and so does what stands for iBUG's 17.
    for i in range(17):
        assert sorted(32 - j for j in LAPA_OF_68[i]) == list(LAPA_OF_68[16 - i])


def test_lapa_names_what_an_entry_lacks(tmp_path: Path) -> None:
    for name in ("good", "no_mask", "no_points", "few_points", "words", "nan"):
        lapa_entry(tmp_path, part="train", name=name, points=face(106))
    (tmp_path / "train" / "labels" / "no_mask.png").unlink()
    landmarks = tmp_path / "train" / "landmarks"
    (landmarks / "no_points.txt").unlink()
    (landmarks / "few_points.txt").write_text("105\n" + "1 2\n" * 105)
    (landmarks / "words.txt").write_text("106\n" + "1 x\n" * 106)
    (landmarks / "nan.txt").write_text("106\n" + "1 nan\n" * 106)
    good, bad = read("lapa", tmp_path)
    assert [sample.key for sample in good] == ["train/images/good.jpg"]
    assert {Path(each.key).stem: each.reason for each in bad} == {
        "no_mask": "its mask train/labels/no_mask.png is missing",
        "no_points": "its landmarks no_points.txt are missing",
        "few_points": "its landmarks few_points.txt are not `106` and 106 points",
        "words": "its landmarks words.txt are not numbers",
        "nan": "its landmarks nan.txt are not `106` and 106 points",
    }


def test_lapa_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=f"train, val, test belong in {tmp_path}"):
        read("lapa", tmp_path)
    (tmp_path / "val" / "images").mkdir(parents=True)
    with pytest.raises(LayoutError, match=f"labels of val is missing: it belongs at {tmp_path}/val/labels"):
        read("lapa", tmp_path)
