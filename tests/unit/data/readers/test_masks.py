"""CelebAMask-HQ in both forms, and COFW: masks and visibility."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.faces.reader_files import picture, read
from training.data.labels import checked_mask
from training.data.reader import LayoutError
from training.data.readers import reader_of
from training.data.readers.celebamask_hq import Mask, subjects_sides
from training.data.sample import Sample
from training.tasks import CATALOGUE

PARSING = CATALOGUE["parsing"]
ATTRIBUTES = CATALOGUE["attributes"].labels
VISIBILITY = CATALOGUE["visibility"].labels


def id_of(label: str) -> int:
    return PARSING.labels.index(label)


def part(root: Path, name: str, box: tuple[int, int, int, int]) -> None:
    """An official part: white on black in three channels, 16 x 16, inside x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[y0:y1, x0:x1] = 255
    number = int(name.split("_")[0])
    path = root / "CelebAMask-HQ-mask-anno" / str(number // 2000) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def official(root: Path, numbers: tuple[int, ...]) -> None:
    for number in numbers:
        picture(root / "CelebA-HQ-img" / f"{number}.jpg", width=32, height=32)
        part(root, f"{number:05d}_skin", (2, 2, 14, 14))
        part(root, f"{number:05d}_nose", (7, 6, 9, 10))
        part(root, f"{number:05d}_hair", (2, 2, 14, 4))
        # The subject's left eye, on the picture's right.
        part(root, f"{number:05d}_l_eye", (10, 5, 14, 8))
        part(root, f"{number:05d}_r_eye", (3, 5, 7, 8))


def mask_of(sample: Sample) -> NDArray[np.uint8]:
    assert callable(sample.mask)
    return checked_mask("parsing", sample.mask())


def test_official_parts_are_merged_in_the_makers_order_at_the_pictures_size(tmp_path: Path) -> None:
    official(tmp_path, (0, 1999, 2000))
    good, bad = read("celebamask_hq", tmp_path)
    assert not bad
    assert [sample.key for sample in good] == [f"CelebA-HQ-img/{i}.jpg" for i in (0, 1999, 2000)]
    ids = mask_of(good[2])
    assert ids.shape == (32, 32)
    # Hair lies over skin, as do nose and eyes; outside is background.
    assert ids[0, 0] == id_of("background")
    assert ids[6, 20] == id_of("hair")
    assert ids[16, 16] == id_of("nose")
    assert ids[24, 16] == id_of("skin")
    assert ids[12, 24] == id_of("left_eye")
    assert ids[12, 8] == id_of("right_eye")


def test_every_official_part_has_its_class(tmp_path: Path) -> None:
    # The order of the makers' g_mask.py, which is the catalogue's.
    names = "skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip hair hat"
    names += " ear_r neck_l neck cloth"
    for class_id, name in enumerate(names.split(), start=1):
        picture(tmp_path / "CelebA-HQ-img" / "7.jpg", width=16, height=16)
        part(tmp_path, f"00007_{name}", (4, 4, 8, 8))
        sample = read("celebamask_hq", tmp_path)[0][0]
        # The last part lies over all that came before.
        assert mask_of(sample)[5, 5] == class_id


def mapping(root: Path, numbers: dict[int, int]) -> None:
    rows = "\n".join(f"{hq:<10}{celeba - 1:<10}{celeba:06d}.jpg" for hq, celeba in numbers.items())
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text(f"idx        orig_idx   orig_file\n{rows}\n")


def attributes(root: Path, numbers: tuple[int, ...]) -> None:
    rows = "\n".join(f"{i}.jpg  " + " ".join("1" if j % 2 else "-1" for j in range(40)) for i in numbers)
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text(
        f"{len(numbers)}\n{' '.join(ATTRIBUTES)} \n{rows}\n"
    )


def test_the_split_is_celebas_own_and_persons_and_attributes_come_along(tmp_path: Path) -> None:
    root = tmp_path / "CelebAMask-HQ"
    official(root, (0, 1, 2, 3))
    mapping(root, {0: 162770, 1: 162771, 2: 182637, 3: 182638})
    attributes(root, (0, 1, 2, 3))
    (root / "identity_CelebA.txt").write_text("162770.jpg 2880\n182638.jpg 17\n")
    good, bad = read("celebamask_hq", tmp_path)
    assert not bad
    assert [(sample.split, sample.person) for sample in good] == [
        ("train", "2880"),
        ("validation", ""),
        ("validation", ""),
        ("test", "17"),
    ]
    assert good[0].labels["attributes"] == {name: float(i % 2) for i, name in enumerate(ATTRIBUTES)}


def test_with_both_lists_a_face_is_in_the_same_part_of_celeba_and_of_its_masks(tmp_path: Path) -> None:
    numbers = (162770, 162771, 182637, 182638)  # around the ends of CelebA's training and validation parts
    parts = ("train", "validation", "validation", "test")
    masks, celeba = tmp_path / "masks", tmp_path / "celeba"
    official(masks, (0, 1, 2, 3))
    lines = "".join(f"{i} {n - 1} {n:06d}.jpg\n" for i, n in enumerate(numbers))
    (masks / "CelebA-HQ-to-CelebA-mapping.txt").write_text(f"idx orig_idx orig_file\n{lines}")
    names = [f"{number:06d}.jpg" for number in numbers]
    for name in names:
        picture(celeba / "img_align_celeba" / name)
    rows = "".join(f"{name} {' '.join(['1'] * 40)}\n" for name in names)
    (celeba / "list_attr_celeba.txt").write_text(f"4\n{' '.join(ATTRIBUTES)}\n{rows}")
    codes = dict(zip(("train", "validation", "test"), "012", strict=True))
    (celeba / "list_eval_partition.txt").write_text(
        "".join(f"{name} {codes[part]}\n" for name, part in zip(names, parts, strict=True))
    )
    assert [sample.split for sample in read("celeba", celeba)[0]] == list(parts)
    assert [sample.split for sample in read("celebamask_hq", masks)[0]] == list(parts)


@pytest.mark.parametrize(
    ("name", "file", "other"),
    [
        ("celeba", "Eval/list_eval_partition.txt", "CelebAMask-HQ"),
        ("celebamask_hq", "CelebA-HQ-to-CelebA-mapping.txt", "CelebA"),
    ],
)
def test_who_takes_both_is_told_which_file_keeps_their_splits_together(
    name: str, file: str, other: str
) -> None:
    (line,) = (line for line in reader_of(name).tree.splitlines() if line.startswith(f"{file} "))
    assert f"who also takes {other} needs it" in line


def test_without_the_mapping_the_last_eighth_is_kept_out_and_attributes_are_not_given(tmp_path: Path) -> None:
    official(tmp_path, tuple(range(16)))
    attributes(tmp_path, tuple(range(16)))  # CelebA's test pictures could be among those for training
    good, _ = read("celebamask_hq", tmp_path)
    assert [sample.split for sample in good] == ["train"] * 14 + ["test"] * 2
    assert [sample.key for sample in good[-2:]] == ["CelebA-HQ-img/14.jpg", "CelebA-HQ-img/15.jpg"]
    assert not any(sample.labels for sample in good)


def merged(root: Path, name: str, ids: NDArray[np.uint8]) -> None:
    picture(root / "images" / f"{name}.webp", width=16, height=16)
    (root / "masks").mkdir(exist_ok=True)
    assert cv2.imwrite(str(root / "masks" / f"{name}.png"), ids)


def eyes(*, left: int, right: int) -> NDArray[np.uint8]:
    """A mask whose left and right eye begin at these columns."""
    ids = np.full((16, 16), id_of("skin"), np.uint8)
    ids[4:8, left : left + 4] = id_of("left_eye")
    ids[4:8, right : right + 4] = id_of("right_eye")
    return ids


def test_the_merged_form_is_read_and_split(tmp_path: Path) -> None:
    ids = eyes(left=10, right=2)
    ids[15] = 255  # not known
    for i in range(8):
        merged(tmp_path, f"{i:04d}", ids)
    good, bad = read("celebamask_hq", tmp_path)
    assert not bad
    assert [sample.split for sample in good] == ["train"] * 7 + ["test"]
    assert good[0].key == "images/0000.webp"
    np.testing.assert_array_equal(mask_of(good[0]), ids)


def test_a_mask_whose_numbers_are_a_palettes_is_read_as_numbers(tmp_path: Path) -> None:
    ids = eyes(left=10, right=2)
    merged(tmp_path, "a", ids)
    image = Image.fromarray(ids)
    image.putpalette([i * 7 % 256 for i in range(768)])
    image.save(tmp_path / "masks" / "a.png")
    np.testing.assert_array_equal(mask_of(read("celebamask_hq", tmp_path)[0][0]), ids)


def test_a_mask_that_was_mirrored_with_its_picture_gets_the_subjects_sides_back() -> None:
    ids = eyes(left=10, right=2)
    np.testing.assert_array_equal(subjects_sides(ids), ids)
    # Mirrored, the eye called left lies on the picture's left: it is the other one.
    np.testing.assert_array_equal(subjects_sides(eyes(left=2, right=10)), ids)


def test_a_mask_that_shows_one_side_only_stays_as_it_is() -> None:
    ids = eyes(left=2, right=10)
    ids[ids == id_of("right_eye")] = id_of("skin")
    np.testing.assert_array_equal(subjects_sides(ids), ids)


def test_pictures_without_a_mask_or_a_line_in_the_mapping_are_named(tmp_path: Path) -> None:
    official(tmp_path, (0, 1))
    picture(tmp_path / "CelebA-HQ-img" / "2.jpg")
    mapping(tmp_path, {0: 5})
    good, bad = read("celebamask_hq", tmp_path)
    assert [sample.key for sample in good] == ["CelebA-HQ-img/0.jpg"]
    assert {each.key: each.reason for each in bad} == {
        "CelebA-HQ-img/1.jpg": "CelebA-HQ-to-CelebA-mapping.txt does not name it",
        "CelebA-HQ-img/2.jpg": "it has no mask",
    }


def test_a_mask_file_that_is_no_mask_is_named(tmp_path: Path) -> None:
    photo, path = tmp_path / "a.jpg", tmp_path / "mask.png"
    picture(photo, width=16, height=16)
    for content, says in (
        (b"no picture", "can't be read as a picture"),
        (cv2.imencode(".png", np.arange(768, dtype=np.uint8).reshape(16, 16, 3))[1].tobytes(), "is no mask"),
        (cv2.imencode(".png", np.zeros((16, 16), np.uint16))[1].tobytes(), "is no mask"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"mask.png {says}"):
            Mask(photo, ((path, -1),), merged=True)()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("CelebA-HQ-to-CelebA-mapping.txt", "idx orig_idx orig_file\n0 119613\n", "has the line '0 119613'"),
        ("CelebAMask-HQ-attribute-anno.txt", "1\nSmiling Male\n0.jpg 1 1\n", "does not name CelebA's 40"),
        (
            "CelebAMask-HQ-attribute-anno.txt",
            f"1\n{' '.join(ATTRIBUTES)}\n0.jpg 1 0\n",
            "has no 40 attributes of 1 or -1 for 0.jpg",
        ),
    ],
)
def test_a_malformed_index_file_is_named(tmp_path: Path, name: str, text: str, says: str) -> None:
    official(tmp_path, (0,))
    mapping(tmp_path, {0: 5})
    (tmp_path / name).write_text(text)
    with pytest.raises(LayoutError, match=says):
        read("celebamask_hq", tmp_path)


def test_celebamask_says_which_folders_belong_where(tmp_path: Path) -> None:
    with pytest.raises(
        LayoutError, match=f"CelebA-HQ-img and CelebAMask-HQ-mask-anno.* belong in {tmp_path}"
    ):
        read("celebamask_hq", tmp_path)


# ---- COFW


def cofw_row(points: NDArray[np.float64], occluded: list[int]) -> NDArray[np.float64]:
    flags = np.zeros(29)
    flags[occluded] = 1
    return np.concatenate([points[:, 0], points[:, 1], flags])


def cofw_points() -> NDArray[np.float64]:
    return np.stack([np.arange(29) + 2.0, 40.0 - np.arange(29)], axis=1)


def cofw_file(
    path: Path, *, suffix: str, pictures: list[NDArray[np.uint8]], rows: list[NDArray[np.float64]]
) -> None:
    """A MATLAB 7.3 file as COFW's: all axes in reverse, pictures behind references."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as mat:
        cell = mat.create_dataset(f"Is{suffix}", (1, len(pictures)), dtype=h5py.ref_dtype)
        for i, pixels in enumerate(pictures):
            cell[0, i] = mat.create_dataset(f"#refs#/{i}", data=pixels.T).ref
        mat.create_dataset(f"phis{suffix}", data=np.stack(rows).T)
        mat.create_dataset(f"bboxes{suffix}", data=np.zeros((4, len(rows))))


def cofw(root: Path, *, train: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 256, (30, 40, 3), np.uint8)
    grey = rng.integers(0, 256, (24, 50), np.uint8)
    row = cofw_row(cofw_points(), [0, 16, 28])
    cofw_file(root / "COFW_train_color.mat", suffix="Tr", pictures=[colour] * train, rows=[row] * train)
    cofw_file(root / "COFW_test_color.mat", suffix="T", pictures=[grey], rows=[row])
    return colour, grey


@pytest.mark.parametrize("below", ["", "common/xpburgos/behavior/code/pose"])
def test_cofw_pictures_are_read_out_of_the_file(tmp_path: Path, below: str) -> None:
    colour, grey = cofw(tmp_path / below)
    good, bad = read("cofw", tmp_path)
    assert not bad
    assert [(sample.key, sample.split) for sample in good] == [
        ("COFW_train_color.mat#1", "train"),
        ("COFW_test_color.mat#1", "test"),
    ]
    assert callable(good[0].picture)
    assert callable(good[1].picture)
    np.testing.assert_array_equal(good[0].picture(), colour)
    np.testing.assert_array_equal(good[1].picture(), np.stack([grey] * 3, axis=2))


def test_cofw_occluded_points_are_not_visible_and_shared_points_are_landmarks(tmp_path: Path) -> None:
    cofw(tmp_path)
    sample = read("cofw", tmp_path)[0][0]
    hidden = {label for label, value in sample.labels["visibility"].items() if value == 0}
    assert hidden == {"left_brow_outer", "left_pupil", "chin"}
    assert set(sample.labels["visibility"]) == set(VISIBILITY)
    points = cofw_points() - 1
    landmarks = sample.labels["landmarks"]
    # The brow that COFW calls left is on the picture's left: the subject's right.
    assert landmarks[17] == points[VISIBILITY.index("left_brow_outer")].tolist()
    assert landmarks[8] == points[VISIBILITY.index("chin")].tolist()
    assert landmarks[0] is None
    assert sum(point is not None for point in landmarks) == 21
    assert sample.landmarks is not None
    np.testing.assert_allclose(sample.landmarks, points[[16, 17, 20, 22, 23]])


def test_cofw_tells_lfpws_faces_from_its_own(tmp_path: Path) -> None:
    cofw(tmp_path, train=847)
    subsets = [sample.subset for sample in read("cofw", tmp_path)[0]]
    assert subsets == ["lfpw"] * 845 + ["", "", ""]


def test_cofw_names_a_malformed_annotation(tmp_path: Path) -> None:
    colour, _ = cofw(tmp_path)
    rows = [cofw_row(cofw_points(), []) for _ in range(3)]
    rows[1][0] = np.nan
    rows[2][-1] = 2
    cofw_file(tmp_path / "COFW_train_color.mat", suffix="Tr", pictures=[colour] * 3, rows=rows)
    good, bad = read("cofw", tmp_path)
    assert len(good) == 2
    assert {each.key: each.reason for each in bad} == {
        f"COFW_train_color.mat#{i}": "its annotation is not 29 points and 29 flags of 0 or 1" for i in (2, 3)
    }


def test_a_picture_of_cofw_that_is_none_is_an_error_that_names_it(tmp_path: Path) -> None:
    cofw(tmp_path)
    row = cofw_row(cofw_points(), [])
    odd = np.zeros((4, 4, 2), np.uint8)
    cofw_file(tmp_path / "COFW_test_color.mat", suffix="T", pictures=[odd], rows=[row])
    sample = read("cofw", tmp_path)[0][1]
    assert callable(sample.picture)
    with pytest.raises(OSError, match=r"COFW_test_color\.mat: picture 1 of IsT is no 8-bit picture"):
        sample.picture()


def test_cofw_files_that_are_missing_or_something_else_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        LayoutError, match=f"train file is missing: it belongs at {tmp_path}/COFW_train_color.mat"
    ):
        read("cofw", tmp_path)
    cofw(tmp_path)
    (tmp_path / "COFW_test_color.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(LayoutError, match=r"COFW_test_color\.mat is not COFW's MATLAB 7\.3 file"):
        read("cofw", tmp_path)
    colour, _ = cofw(tmp_path)
    short = cofw_row(cofw_points(), [])[:58]
    cofw_file(tmp_path / "COFW_test_color.mat", suffix="T", pictures=[colour], rows=[short])
    with pytest.raises(LayoutError, match=r"has \(1, 58\) annotations for 1 pictures"):
        read("cofw", tmp_path)
