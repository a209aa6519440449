"""RAF-DB, EmotioNet, AgeDB, AffectNet, FFHQ and LFWA are read from their official layouts."""

from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from training.data.labels import checked
from training.data.layouts import LAYOUTS
from training.data.sample import BadSample, LayoutError, Sample
from training.tasks import CATALOGUE

ATTRIBUTES = CATALOGUE["attributes"].labels
UNITS = CATALOGUE["action_units"].labels


def _read(name: str, source: Path) -> tuple[list[Sample], list[BadSample]]:
    """What a layout yields; read twice, because it must yield the same both times."""
    entries = list(LAYOUTS[name].read(source))
    again = list(LAYOUTS[name].read(source))
    assert [(entry.key, getattr(entry, "split", "")) for entry in entries] == [
        (entry.key, getattr(entry, "split", "")) for entry in again
    ]
    samples = [entry for entry in entries if isinstance(entry, Sample)]
    for sample in samples:
        assert all(checked(task, label) is not None for task, label in sample.labels.items())
        assert set(sample.labels) <= set(LAYOUTS[name].tasks)
    assert len({sample.key for sample in samples}) == len(samples)
    return samples, [entry for entry in entries if isinstance(entry, BadSample)]


def _touch(root: Path, *places: str) -> None:
    """Files that only have to be there: a layout opens no picture."""
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(b"")


def _write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


# RAF-DB


def _rafdb(root: Path) -> None:
    numbered = [f"train_{i:05d}.jpg {i}" for i in range(1, 8)]
    _write(root / "EmoLabel/list_patition_label.txt", *numbered, "test_0001.jpg 4")
    _touch(root, "Image/aligned/train_00001_aligned.jpg")


def test_rafdb_has_its_seven_expressions_and_official_split(tmp_path: Path) -> None:
    _rafdb(tmp_path / "basic")
    samples, bad = _read("rafdb", tmp_path)
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
    _touch(tmp_path, "Image/original/train_00001.jpg")
    names = [f"train_{i:05d}" for i in range(1, 8)] + ["test_0001"]
    # Eyes clicked left to right or right to left; gender, race, age.
    eyes = {True: ("60.5\t40", "30\t41"), False: ("30\t41", "60.5\t40")}
    for i, name in enumerate(names):
        points = (*eyes[i == 1], "45\t55", "33\t70", "57\t70")
        facts = (str(i % 3), "0", str(i % 5))
        _write(tmp_path / f"Annotation/manual/{name}_manu_attri.txt", *points, *facts)
    samples, bad = _read("rafdb", tmp_path)
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
    samples, bad = _read("rafdb", tmp_path)
    assert [(entry.key, entry.why) for entry in bad] == [
        (
            "train_00002.jpg",
            "its annotation train_00002_manu_attri.txt is not five points, gender, race, age",
        ),
        ("train_00003.jpg", "its annotation train_00003_manu_attri.txt is missing"),
    ]


def test_rafdb_says_what_is_missing_and_which_lines_are_malformed(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"RAF-DB's label list is missing: it belongs at .*list_patition"):
        _read("rafdb", tmp_path)
    _write(
        tmp_path / "EmoLabel/list_patition_label.txt", "train_00001.jpg 8", "photo.jpg 1", "train_00002.jpg"
    )
    with pytest.raises(LayoutError, match=r"RAF-DB's pictures are missing: they belong in .*aligned"):
        _read("rafdb", tmp_path)
    _touch(tmp_path, "Image/aligned/x.jpg")
    samples, bad = _read("rafdb", tmp_path)
    assert not samples
    assert [entry.key for entry in bad] == ["train_00001.jpg", "photo.jpg", "train_00002.jpg"]
    assert "is not `train_00001.jpg 1..7`" in bad[0].why


# EmotioNet


def _emotionet(root: Path, *, count: int, units: str = "1") -> None:
    columns = [f"'AU {i}'" for i in range(1, 61)]
    rows = [
        f"'https://host/emotionet/Images/N_01/N_{i:03d}.jpg','x'," + ",".join([units] * 60)
        for i in range(count)
    ]
    _write(root / "EmotioNet_FACS_aws_2020_24600.csv", ",".join(["'URL'", "'URL orig'", *columns]), *rows)
    _touch(root, *(f"images/N_{i:03d}.jpg" for i in range(count)))


def test_emotionet_has_its_twelve_units_and_leaves_out_what_was_not_judged(tmp_path: Path) -> None:
    values = {f"AU {i}": "0" for i in range(1, 61)} | {"AU 1": "1", "AU 43": "1", "AU 12": "999", "AU 3": "7"}
    _write(
        tmp_path / "EmotioNet_FACS_aws_2020_24600.csv",
        ",".join(["'URL'", "'URL orig'", *(f"'{name}'" for name in values)]),
        ",".join(["'https://host/emotionet/Images/N_01/a.jpg'", "'x'", *values.values()]),
        ",".join(["'https://host/emotionet/Images/N_01/gone.jpg'", "'x'", *values.values()]),
    )
    _touch(tmp_path, "images/N_01/a.jpg")
    samples, bad = _read("emotionet", tmp_path)
    assert not bad
    assert [sample.key for sample in samples] == ["images/N_01/a.jpg"]  # the other address is dead
    expected = {unit: float(unit in ("AU1", "AU43")) for unit in UNITS if unit != "AU12"}
    assert samples[0].labels == {"action_units": expected}


def test_emotionet_is_read_from_the_challenges_table_too(tmp_path: Path) -> None:
    values = [str(int(unit in (2, 26))) for unit in range(1, 61)]
    table = tmp_path / "emotioNet_challenge_files_server_challenge_1.2_aws/dataFile_1000.txt"
    _write(table, "\t".join(["http://host/EmotioNet/Images/N_01/a.jpg", "http://x/it's", *values]))
    _touch(tmp_path, "Images/a.jpg")
    samples, _ = _read("emotionet", tmp_path)
    units = samples[0].labels["action_units"]
    assert [unit for unit, value in units.items() if value] == ["AU2", "AU26"]
    assert tuple(units) == UNITS


def test_emotionet_draws_the_papers_share_for_training_whatever_the_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _emotionet(tmp_path / name, count=200)
    one, _ = _read("emotionet", tmp_path / "one")
    two, _ = _read("emotionet", tmp_path / "two")
    assert [sample.split for sample in one] == [sample.split for sample in two]
    assert Counter(sample.split for sample in one) == {"train": 145, "test": 55}  # 15,000 of 20,722


def test_emotionet_names_rows_that_say_something_else(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"EmotioNet's annotation table .* is missing: it belongs at"):
        _read("emotionet", tmp_path)
    _emotionet(tmp_path, count=2, units="-1")
    samples, bad = _read("emotionet", tmp_path)
    assert not samples
    assert "has other values than 0, 1, 999" in bad[0].why
    _write(tmp_path / "EmotioNet_FACS_aws_2020_24600.csv", "'URL','URL orig','AU 1'")
    with pytest.raises(LayoutError, match="has no column AU2, AU4, AU5"):
        _read("emotionet", tmp_path)
    _emotionet(tmp_path / "other", count=1)
    (tmp_path / "other/images/N_000.jpg").unlink()
    with pytest.raises(LayoutError, match=r"none of the pictures that .* names is there"):
        _read("emotionet", tmp_path / "other")


# AgeDB


def test_agedb_is_in_its_files_names(tmp_path: Path) -> None:
    _touch(tmp_path, "AgeDB/10_MariaCallas_35_f.jpg", "AgeDB/2_ElvisPresley_21_m.jpg", "AgeDB/3_X_200_m.jpg")
    _touch(tmp_path, "AgeDB/0_Jean-LucGodard_61_m.jpg", "AgeDB/MariaCallas.jpg")
    samples, bad = _read("agedb", tmp_path)
    assert [(sample.person, dict(sample.labels)) for sample in samples] == [
        ("Jean-LucGodard", {"age": [61, 61], "gender": "male"}),
        ("ElvisPresley", {"age": [21, 21], "gender": "male"}),
        ("MariaCallas", {"age": [35, 35], "gender": "female"}),
    ]
    assert [(entry.key, entry.why) for entry in bad] == [
        ("AgeDB/3_X_200_m.jpg", "its name says an age over 120 or a gender other than m, f"),
        ("AgeDB/MariaCallas.jpg", "its name is not ID_Name_age_gender"),
    ]


def test_agedb_is_split_by_picture_as_the_paper_has_it_or_by_person(tmp_path: Path) -> None:
    _touch(tmp_path, *(f"{i}_Person{i % 20}_{20 + i % 50}_{'mf'[i % 2]}.jpg" for i in range(200)))
    by_picture, _ = _read("agedb", tmp_path)
    assert Counter(sample.split for sample in by_picture) == {"train": 160, "test": 40}
    by_person, _ = _read("agedb_by_person", tmp_path)
    sides = {split: {s.person for s in by_person if s.split == split} for split in ("train", "test")}
    assert len(sides["train"]) == 16
    assert len(sides["test"]) == 4
    assert not sides["train"] & sides["test"]


def test_agedb_without_pictures_says_where_they_belong(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"AgeDB's pictures are missing: they belong at .*MariaCallas"):
        _read("agedb", tmp_path)


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
    _write(lists / "training.csv", _HEADER, *(_affectnet_row(f"1/{code}.jpg", code) for code in range(11)))
    _write(lists / "validation.csv", _affectnet_row("2/a.jpg", 6))  # this list has no header in some copies
    _touch(tmp_path, "Manually_Annotated_Images/1/0.jpg")
    samples, bad = _read("affectnet", tmp_path)
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
        _read("affectnet", tmp_path)
    lists = tmp_path / "Manually_Annotated_file_lists"
    good = _affectnet_row("1/a.jpg", 0)
    rows = (
        good,
        good,
        good.replace(",10,20,", ",NULL,20,"),
        good.replace("1/a", "1/b").replace(",0,0.1", ",11,0.1"),
    )
    _write(lists / "training.csv", _HEADER, *rows, "1/c.jpg,1,2")
    with pytest.raises(LayoutError, match="the folder of AffectNet's pictures is missing"):
        _read("affectnet", tmp_path)
    _touch(tmp_path, "Manually_Annotated_Images/1/a.jpg")
    samples, bad = _read("affectnet", tmp_path)
    assert len(samples) == 1
    assert [(entry.key.rsplit("/", 1)[-1], entry.why) for entry in bad] == [
        ("a.jpg", "training.csv names it twice"),
        ("a.jpg", "its box, points or expression in training.csv can't be read"),
        ("b.jpg", "its box, points or expression in training.csv can't be read"),
        ("training.csv line 6", "it has 3 columns, not 9"),
    ]
    (lists / "validation.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(LayoutError, match=r"validation.csv is no table .*: fetch it again"):
        _read("affectnet", tmp_path)


def test_affectnet_is_read_from_its_small_release_too(tmp_path: Path) -> None:
    for part, number, code in (("train_set", 10, "1"), ("train_set", 9, "7"), ("val_set", 3, "5")):
        _touch(tmp_path, f"{part}/images/{number}.jpg")
        (tmp_path / part / "annotations").mkdir(exist_ok=True)
        np.save(tmp_path / f"{part}/annotations/{number}_exp.npy", np.array(code))
        np.save(tmp_path / f"{part}/annotations/{number}_lnd.npy", _points_68().ravel())
    _touch(tmp_path, "val_set/images/4.jpg")
    samples, bad = _read("affectnet", tmp_path)
    assert [(sample.key, sample.split, dict(sample.labels)) for sample in samples] == [
        ("train_set/images/10.jpg", "train", {"expression": "happiness"}),
        ("val_set/images/3.jpg", "test", {"expression": "disgust"}),
    ]
    np.testing.assert_array_equal(samples[0].landmarks, _FIVE)
    assert [(entry.key, entry.why) for entry in bad] == [
        ("val_set/images/4.jpg", "its label 4_exp.npy is missing")
    ]


# FFHQ

_AGING = (
    "image_number,age_group,age_group_confidence,gender,gender_confidence,head_pitch,head_roll,head_yaw,"
    "left_eye_occluded,right_eye_occluded,glasses"
)


def test_ffhq_has_its_folders_of_a_thousand_and_the_labels_of_ffhq_aging(tmp_path: Path) -> None:
    _touch(tmp_path, "images1024x1024/00000/00000.png", "images1024x1024/00000/00001.png")
    _touch(tmp_path, "images1024x1024/60000/60000.png", "images1024x1024/LICENSE.txt")
    _touch(tmp_path, "images1024x1024/00000/00002.png", "images1024x1024/00000/portrait.png")
    _write(
        tmp_path / "ffhq_aging_labels.csv",
        _AGING,
        "0,0-2,0.9,male,0.97,1,2,3,0,0,None",
        "1,70-120,0.4,female,1,1,2,3,0,0,None",
        "2,old,0.9,male,0.97,1,2,3,0,0,None",
    )
    samples, bad = _read("ffhq", tmp_path)
    assert [(sample.key, sample.split, dict(sample.labels)) for sample in samples] == [
        ("images1024x1024/00000/00000.png", "train", {"age": [0, 2], "gender": "male"}),
        ("images1024x1024/00000/00001.png", "train", {"gender": "female"}),  # too few agreed on the age
        ("images1024x1024/60000/60000.png", "test", {}),
    ]
    assert [(entry.key, entry.why) for entry in bad] == [
        ("images1024x1024/00000/00002.png", "its line in ffhq_aging_labels.csv can't be read"),
        ("images1024x1024/00000/portrait.png", "its name is not a number, as 00000.png"),
    ]


def test_ffhq_is_read_without_labels_and_from_a_flat_folder(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"FFHQ's pictures is missing: it belongs at .*images1024x1024"):
        _read("ffhq", tmp_path)
    (tmp_path / "thumbnails128x128").mkdir()
    with pytest.raises(LayoutError, match=r"FFHQ's pictures are missing: they belong at .*00000.png"):
        _read("ffhq", tmp_path)
    _touch(tmp_path, "thumbnails128x128/69999.png")
    samples, _ = _read("ffhq", tmp_path)
    assert [(sample.split, dict(sample.labels)) for sample in samples] == [("test", {})]
    _write(tmp_path / "ffhq_aging_labels.csv", "image_number,age")
    with pytest.raises(LayoutError, match="has no column age_group, age_group_confidence, gender"):
        _read("ffhq", tmp_path)


# LFWA


def _mat_73(path: Path, **variables: list[str] | np.ndarray) -> None:
    """A .mat file of MATLAB 7.3: HDF5, arrays by columns, texts as references to character codes."""
    with h5py.File(path, "w") as file:
        for name, value in variables.items():
            if isinstance(value, np.ndarray):
                file[name] = value.astype(np.float64).T
                continue
            cells = file.create_dataset(name, (1, len(value)), dtype=h5py.ref_dtype)
            for i, text in enumerate(value):
                codes = np.array([[ord(letter)] for letter in text], np.uint16)
                cells[0, i] = file.create_dataset(f"#refs#/{name}{i}", data=codes).ref


_NAMES = [
    "Aaron_Eckhart\\Aaron_Eckhart_0001.jpg",
    "Zach_Braff\\Zach_Braff_0002.jpg",
    "No_One\\No_One_0001.jpg",
]
_WORDS = [label.replace("_", " ") for label in ATTRIBUTES]


def _values() -> np.ndarray:
    values = np.zeros((3, 40))
    values[0, ATTRIBUTES.index("Male")] = values[1, ATTRIBUTES.index("Smiling")] = 1
    return values


def _check_lfwa(root: Path) -> None:
    samples, bad = _read("lfwa", root)
    assert [(sample.key, sample.split, sample.person) for sample in samples] == [
        ("lfw_funneled/Aaron_Eckhart/Aaron_Eckhart_0001.jpg", "test", "Aaron_Eckhart"),
        ("lfw_funneled/Zach_Braff/Zach_Braff_0002.jpg", "train", "Zach_Braff"),
    ]
    for sample, positive in zip(samples, ("Male", "Smiling"), strict=True):
        attributes = sample.labels["attributes"]
        assert set(attributes) == set(ATTRIBUTES)
        assert [name for name, value in attributes.items() if value == 1.0] == [positive]
    assert [(entry.key, entry.why) for entry in bad] == [
        (_NAMES[2], "indices_train_test.mat has it neither among training nor test pictures")
    ]


def test_lfwa_has_celebas_attributes_and_its_official_split(tmp_path: Path) -> None:
    (tmp_path / "lfw_funneled").mkdir()
    _mat_73(tmp_path / "lfw_att_40.mat", name=_NAMES, AttrName=_WORDS, label=_values())
    with pytest.raises(LayoutError, match="list of training and test pictures is missing"):
        _read("lfwa", tmp_path)
    _mat_73(
        tmp_path / "indices_train_test.mat",
        indices_img_train=np.array([[2]]),
        indices_img_test=np.array([[1]]),
    )
    _check_lfwa(tmp_path)


def test_lfwa_is_read_from_older_mat_files_too(tmp_path: Path) -> None:
    (tmp_path / "lfw_funneled").mkdir()
    cells = {
        name: np.array([[text] for text in texts], dtype=object)
        for name, texts in (("name", _NAMES), ("AttrName", _WORDS))
    }
    scipy.io.savemat(tmp_path / "lfw_att_40.mat", {**cells, "label": _values()})
    scipy.io.savemat(
        tmp_path / "indices_train_test.mat", {"indices_img_train": [[2]], "indices_img_test": [[1]]}
    )
    _check_lfwa(tmp_path)


def test_lfwa_says_what_is_wrong_with_its_tables(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"LFW's pictures is missing: it belongs at .*lfw_funneled"):
        _read("lfwa", tmp_path)
    (tmp_path / "lfw").mkdir()
    with pytest.raises(LayoutError, match=r"LFWA's attributes are missing: .*lfw_att_40.mat"):
        _read("lfwa", tmp_path)
    _mat_73(
        tmp_path / "indices_train_test.mat",
        indices_img_train=np.array([[1, 2]]),
        indices_img_test=np.array([[3]]),
    )
    (tmp_path / "lfw_att_40.mat").write_bytes(b"no table at all")
    with pytest.raises(LayoutError, match=r"lfw_att_40.mat is no .mat file"):
        _read("lfwa", tmp_path)
    _mat_73(tmp_path / "lfw_att_40.mat", name=_NAMES, AttrName=_WORDS)
    with pytest.raises(LayoutError, match="has no variable 'label'"):
        _read("lfwa", tmp_path)
    _mat_73(tmp_path / "lfw_att_40.mat", name=_NAMES, AttrName=[*_WORDS[:-1], "Asian"], label=_values())
    with pytest.raises(LayoutError, match="unknown attributes asian"):
        _read("lfwa", tmp_path)
    values = _values()
    values[1, 3] = np.nan
    _mat_73(tmp_path / "lfw_att_40.mat", name=_NAMES, AttrName=_WORDS, label=values)
    samples, bad = _read("lfwa", tmp_path)
    assert len(samples) == 2
    assert [(entry.key, entry.why) for entry in bad] == [
        (_NAMES[1], "its attributes in lfw_att_40.mat are not 0 or 1")
    ]


def test_lfwa_takes_the_older_tables_signs_for_the_attributes_that_it_shares(tmp_path: Path) -> None:
    (tmp_path / "lfw").mkdir()
    _write(
        tmp_path / "lfw_attributes.txt",
        "# lfw_attributes.txt",
        "#\tperson\timagenum\tMale\tAsian\t5 o' Clock Shadow\tSmiling",
        "Aaron Eckhart\t1\t1.56\t-1.8\t0.2\t-0.7",
        "AJ Cook\t12\t-0.56\t1.8\t-0.2\t0.7",
        "Zach Braff\tone\t1\t1\t1\t1",
    )
    samples, bad = _read("lfwa", tmp_path)
    assert [(sample.key, sample.person) for sample in samples] == [
        ("lfw/Aaron_Eckhart/Aaron_Eckhart_0001.jpg", "Aaron_Eckhart"),
        ("lfw/AJ_Cook/AJ_Cook_0012.jpg", "AJ_Cook"),
    ]
    assert samples[0].labels["attributes"] == {"Male": 1.0, "5_o_Clock_Shadow": 1.0, "Smiling": 0.0}
    assert samples[1].labels["attributes"] == {"Male": 0.0, "5_o_Clock_Shadow": 0.0, "Smiling": 1.0}
    assert [entry.key for entry in bad] == ["Zach_Braff"]
    _write(tmp_path / "peopleDevTrain.txt", "1", "AJ_Cook\t1")
    _write(tmp_path / "peopleDevTest.txt", "1", "Aaron_Eckhart\t1")
    samples, _ = _read("lfwa", tmp_path)
    assert [sample.split for sample in samples] == ["test", "train"]
    _write(tmp_path / "lfw_attributes.txt", "Aaron Eckhart\t1\t1.56")
    with pytest.raises(LayoutError, match=r"has no line `# person imagenum Male ...`"):
        _read("lfwa", tmp_path)
