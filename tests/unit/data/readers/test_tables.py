"""RAF-DB, EmotioNet, AgeDB and AffectNet are read from their official layouts."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.faces.reader_tables import read, touch, write
from training.data.reader import LayoutError
from training.tasks import CATALOGUE

UNITS = CATALOGUE["action_units"].labels


# RAF-DB


def _rafdb(root: Path) -> None:
    numbered = [f"train_{i:05d}.jpg {i}" for i in range(1, 8)]
    write(root / "EmoLabel/list_patition_label.txt", *numbered, "test_0001.jpg 4")
    touch(root, "Image/aligned/train_00001_aligned.jpg")


def test_rafdb_has_its_seven_expressions_and_official_split(tmp_path: Path) -> None:
    _rafdb(tmp_path / "basic")
    samples, bad = read("rafdb", tmp_path)
    assert not bad
    assert [sample.labels["expression"] for sample in samples] == [
        "surprise",
        "fear",
        "disgust",
        "happiness",
        "sadness",
        "anger",
        "neutral",
        "happiness",
    ]
    assert [sample.split for sample in samples] == ["train"] * 7 + ["test"]
    assert samples[0].picture == tmp_path / "basic/Image/aligned/train_00001_aligned.jpg"
    assert samples[0].key == "basic/Image/aligned/train_00001_aligned.jpg"


def test_rafdb_reads_the_original_photos_where_it_is_known_which_face_is_meant(tmp_path: Path) -> None:
    _rafdb(tmp_path)
    touch(tmp_path, "Image/original/train_00001.jpg")
    names = [f"train_{i:05d}" for i in range(1, 8)] + ["test_0001"]
    # Eyes clicked left to right or right to left; gender, race, age.
    eyes = {True: ("60.5\t40", "30\t41"), False: ("30\t41", "60.5\t40")}
    for i, name in enumerate(names):
        points = (*eyes[i == 1], "45\t55", "33\t70", "57\t70")
        facts = (str(i % 3), "0", str(i % 5))
        write(tmp_path / f"Annotation/manual/{name}_manu_attri.txt", *points, *facts)
    samples, bad = read("rafdb", tmp_path)
    assert not bad
    assert samples[0].picture == tmp_path / "Image/original/train_00001.jpg"
    for sample in samples[:2]:
        np.testing.assert_array_equal(
            sample.landmarks, [[30, 41], [60.5, 40], [45, 55], [33, 70], [57, 70]], err_msg=sample.key
        )
    assert [sample.labels.get("gender") for sample in samples[:3]] == ["male", "female", None]
    assert [sample.labels["age"] for sample in samples[:5]] == [
        [0, 3],
        [4, 19],
        [20, 39],
        [40, 69],
        [70, 100],
    ]
    (tmp_path / "Annotation/manual/train_00002_manu_attri.txt").write_text("30 41\n")
    (tmp_path / "Annotation/manual/train_00003_manu_attri.txt").unlink()
    samples, bad = read("rafdb", tmp_path)
    assert [(entry.key, entry.reason) for entry in bad] == [
        (
            "train_00002.jpg",
            "its annotation train_00002_manu_attri.txt is not five points, gender, race, age",
        ),
        ("train_00003.jpg", "its annotation train_00003_manu_attri.txt is missing"),
    ]


def test_rafdb_says_what_is_missing_and_which_lines_are_malformed(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"RAF-DB's label list is missing: it belongs at .*list_patition"):
        read("rafdb", tmp_path)
    write(
        tmp_path / "EmoLabel/list_patition_label.txt", "train_00001.jpg 8", "photo.jpg 1", "train_00002.jpg"
    )
    with pytest.raises(LayoutError, match=r"RAF-DB's pictures are missing: they belong in .*aligned"):
        read("rafdb", tmp_path)
    touch(tmp_path, "Image/aligned/x.jpg")
    samples, bad = read("rafdb", tmp_path)
    assert not samples
    assert [entry.key for entry in bad] == ["train_00001.jpg", "photo.jpg", "train_00002.jpg"]
    assert "is not `train_00001.jpg 1..7`" in bad[0].reason


# EmotioNet


def _emotionet(root: Path, *, count: int, units: str = "1") -> None:
    columns = [f"'AU {i}'" for i in range(1, 61)]
    rows = [
        f"'https://host/emotionet/Images/N_01/N_{i:03d}.jpg','x'," + ",".join([units] * 60)
        for i in range(count)
    ]
    write(root / "EmotioNet_FACS_aws_2020_24600.csv", ",".join(["'URL'", "'URL orig'", *columns]), *rows)
    touch(root, *(f"images/N_{i:03d}.jpg" for i in range(count)))


def test_emotionet_has_its_twelve_units_and_leaves_out_what_was_not_judged(tmp_path: Path) -> None:
    values = {f"AU {i}": "0" for i in range(1, 61)} | {"AU 1": "1", "AU 43": "1", "AU 12": "999", "AU 3": "7"}
    write(
        tmp_path / "EmotioNet_FACS_aws_2020_24600.csv",
        ",".join(["'URL'", "'URL orig'", *(f"'{name}'" for name in values)]),
        ",".join(["'https://host/emotionet/Images/N_01/a.jpg'", "'x'", *values.values()]),
        ",".join(["'https://host/emotionet/Images/N_01/gone.jpg'", "'x'", *values.values()]),
    )
    touch(tmp_path, "images/N_01/a.jpg")
    samples, bad = read("emotionet", tmp_path)
    assert not bad
    assert [sample.key for sample in samples] == ["images/N_01/a.jpg"]  # the other address is dead
    expected = {unit: float(unit in ("AU1", "AU43")) for unit in UNITS if unit != "AU12"}
    assert samples[0].labels == {"action_units": expected}


def test_emotionet_is_read_from_the_challenges_table_too(tmp_path: Path) -> None:
    values = [str(int(unit in (2, 26))) for unit in range(1, 61)]
    table = tmp_path / "emotioNet_challenge_files_server_challenge_1.2_aws/dataFile_1000.txt"
    write(table, "\t".join(["http://host/EmotioNet/Images/N_01/a.jpg", "http://x/it's", *values]))
    touch(tmp_path, "Images/a.jpg")
    samples, _ = read("emotionet", tmp_path)
    units = samples[0].labels["action_units"]
    assert [unit for unit, value in units.items() if value] == ["AU2", "AU26"]
    assert tuple(units) == UNITS


def test_emotionet_draws_the_papers_share_for_training_whatever_the_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _emotionet(tmp_path / name, count=200)
    one, _ = read("emotionet", tmp_path / "one")
    two, _ = read("emotionet", tmp_path / "two")
    assert [sample.split for sample in one] == [sample.split for sample in two]
    assert Counter(sample.split for sample in one) == {"train": 145, "test": 55}  # 15,000 of 20,722


def test_emotionet_names_rows_that_say_something_else(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"EmotioNet's annotation table .* is missing: it belongs at"):
        read("emotionet", tmp_path)
    _emotionet(tmp_path, count=2, units="-1")
    samples, bad = read("emotionet", tmp_path)
    assert not samples
    assert "has other values than 0, 1, 999" in bad[0].reason
    write(tmp_path / "EmotioNet_FACS_aws_2020_24600.csv", "'URL','URL orig','AU 1'")
    with pytest.raises(LayoutError, match="has no column AU2, AU4, AU5"):
        read("emotionet", tmp_path)
    _emotionet(tmp_path / "other", count=1)
    (tmp_path / "other/images/N_000.jpg").unlink()
    with pytest.raises(LayoutError, match=r"none of the pictures that .* names is there"):
        read("emotionet", tmp_path / "other")


# AgeDB


def test_agedb_is_in_its_files_names(tmp_path: Path) -> None:
    touch(tmp_path, "AgeDB/10_MariaCallas_35_f.jpg", "AgeDB/2_ElvisPresley_21_m.jpg", "AgeDB/3_X_200_m.jpg")
    touch(tmp_path, "AgeDB/0_Jean-LucGodard_61_m.jpg", "AgeDB/MariaCallas.jpg")
    samples, bad = read("agedb", tmp_path)
    assert [(sample.person, dict(sample.labels)) for sample in samples] == [
        ("Jean-LucGodard", {"age": [61, 61], "gender": "male"}),
        ("ElvisPresley", {"age": [21, 21], "gender": "male"}),
        ("MariaCallas", {"age": [35, 35], "gender": "female"}),
    ]
    assert [(entry.key, entry.reason) for entry in bad] == [
        ("AgeDB/3_X_200_m.jpg", "its name says an age over 120 or a gender other than m, f"),
        ("AgeDB/MariaCallas.jpg", "its name is not ID_Name_age_gender"),
    ]


def test_agedb_is_split_by_picture_as_the_paper_has_it_or_by_person(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i}_Person{i % 20}_{20 + i % 50}_{'mf'[i % 2]}.jpg" for i in range(200)))
    by_picture, _ = read("agedb", tmp_path)
    assert Counter(sample.split for sample in by_picture) == {"train": 160, "test": 40}
    by_person, _ = read("agedb_by_person", tmp_path)
    sides = {split: {s.person for s in by_person if s.split == split} for split in ("train", "test")}
    assert len(sides["train"]) == 16
    assert len(sides["test"]) == 4
    assert not sides["train"] & sides["test"]


def test_agedb_without_pictures_says_where_they_belong(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"AgeDB's pictures are missing: they belong at .*MariaCallas"):
        read("agedb", tmp_path)


# AffectNet

_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)


def _points_68() -> np.ndarray:
    points = np.arange(136, dtype=float).reshape(68, 2)
    points[30], points[48], points[54] = (50, 60), (40, 80), (60, 80)
    points[36:42], points[42:48] = (35, 45), (65, 46)
    return points


_FIVE = [[35, 45], [65, 46], [50, 60], [40, 80], [60, 80]]


def _affectnet_row(name: str, expression: int) -> str:
    points = ";".join(f"{value:g}" for value in _points_68().ravel())
    return f"{name},10,20,100,110,{points},{expression},0.1,0.2"


def test_affectnet_lists_become_boxes_and_seven_expressions(tmp_path: Path) -> None:
    lists = tmp_path / "Manually_Annotated_file_lists"
    write(lists / "training.csv", _HEADER, *(_affectnet_row(f"1/{code}.jpg", code) for code in range(11)))
    write(lists / "validation.csv", _affectnet_row("2/a.jpg", 6))  # this list has no header in some copies
    touch(tmp_path, "Manually_Annotated_Images/1/0.jpg")
    samples, bad = read("affectnet", tmp_path)
    assert not bad
    assert [sample.labels["expression"] for sample in samples] == [
        "neutral",
        "happiness",
        "sadness",
        "surprise",
        "fear",
        "disgust",
        "anger",
        "anger",
    ]  # contempt, none, uncertain and no face are left out
    assert [sample.split for sample in samples] == ["train"] * 7 + ["test"]
    assert samples[0].box == (10, 20, 110, 130)
    assert samples[0].picture == tmp_path / "Manually_Annotated_Images/1/0.jpg"
    np.testing.assert_array_equal(samples[0].landmarks, _FIVE)


def test_affectnet_names_rows_that_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"AffectNet's lists are missing: they belong at .*training.csv"):
        read("affectnet", tmp_path)
    lists = tmp_path / "Manually_Annotated_file_lists"
    good = _affectnet_row("1/a.jpg", 0)
    rows = (
        good,
        good,
        good.replace(",10,20,", ",NULL,20,"),
        good.replace("1/a", "1/b").replace(",0,0.1", ",11,0.1"),
    )
    write(lists / "training.csv", _HEADER, *rows, "1/c.jpg,1,2")
    with pytest.raises(LayoutError, match="the folder of AffectNet's pictures is missing"):
        read("affectnet", tmp_path)
    touch(tmp_path, "Manually_Annotated_Images/1/a.jpg")
    samples, bad = read("affectnet", tmp_path)
    assert len(samples) == 1
    assert [(entry.key.rsplit("/", 1)[-1], entry.reason) for entry in bad] == [
        ("a.jpg", "training.csv names it twice"),
        ("a.jpg", "its box, points or expression in training.csv can't be read"),
        ("b.jpg", "its box, points or expression in training.csv can't be read"),
        ("training.csv line 6", "it has 3 columns, not 9"),
    ]
    (lists / "validation.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(LayoutError, match=r"validation.csv is no table .*: fetch it again"):
        read("affectnet", tmp_path)


def test_affectnet_is_read_from_its_small_release_too(tmp_path: Path) -> None:
    for part, number, code in (("train_set", 10, "1"), ("train_set", 9, "7"), ("val_set", 3, "5")):
        touch(tmp_path, f"{part}/images/{number}.jpg")
        (tmp_path / part / "annotations").mkdir(exist_ok=True)
        np.save(tmp_path / f"{part}/annotations/{number}_exp.npy", np.array(code))
        np.save(tmp_path / f"{part}/annotations/{number}_lnd.npy", _points_68().ravel())
    touch(tmp_path, "val_set/images/4.jpg")
    samples, bad = read("affectnet", tmp_path)
    assert [(sample.key, sample.split, dict(sample.labels)) for sample in samples] == [
        ("train_set/images/10.jpg", "train", {"expression": "happiness"}),
        ("val_set/images/3.jpg", "test", {"expression": "disgust"}),
    ]
    np.testing.assert_array_equal(samples[0].landmarks, _FIVE)
    assert [(entry.key, entry.reason) for entry in bad] == [
        ("val_set/images/4.jpg", "its label 4_exp.npy is missing")
    ]
