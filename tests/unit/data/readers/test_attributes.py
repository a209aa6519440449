"""FFHQ and LFWA are read from their official layouts."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from tests.helpers.faces.reader_tables import read, touch, write
from training.data.reader import LayoutError
from training.tasks import CATALOGUE

ATTRIBUTES = CATALOGUE["attributes"].labels


# FFHQ

_AGING = (
    "image_number,age_group,age_group_confidence,gender,gender_confidence,head_pitch,head_roll,head_yaw,"
    "left_eye_occluded,right_eye_occluded,glasses"
)


def test_ffhq_has_its_folders_of_a_thousand_and_the_labels_of_ffhq_aging(tmp_path: Path) -> None:
    touch(tmp_path, "images1024x1024/00000/00000.png", "images1024x1024/00000/00001.png")
    touch(tmp_path, "images1024x1024/60000/60000.png", "images1024x1024/LICENSE.txt")
    touch(tmp_path, "images1024x1024/00000/00002.png", "images1024x1024/00000/portrait.png")
    write(
        tmp_path / "ffhq_aging_labels.csv",
        _AGING,
        "0,0-2,0.9,male,0.97,1,2,3,0,0,None",
        "1,70-120,0.4,female,1,1,2,3,0,0,None",
        "2,old,0.9,male,0.97,1,2,3,0,0,None",
    )
    samples, bad = read("ffhq", tmp_path)
    assert [(sample.key, sample.split, dict(sample.labels)) for sample in samples] == [
        ("images1024x1024/00000/00000.png", "train", {"age": [0, 2], "gender": "male"}),
        ("images1024x1024/00000/00001.png", "train", {"gender": "female"}),  # too few agreed on the age
        ("images1024x1024/60000/60000.png", "test", {}),
    ]
    assert [(entry.key, entry.reason) for entry in bad] == [
        ("images1024x1024/00000/00002.png", "its line in ffhq_aging_labels.csv can't be read"),
        ("images1024x1024/00000/portrait.png", "its name is not a number, as 00000.png"),
    ]


def test_ffhq_is_read_without_labels_and_from_a_flat_folder(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"FFHQ's pictures is missing: it belongs at .*images1024x1024"):
        read("ffhq", tmp_path)
    (tmp_path / "thumbnails128x128").mkdir()
    with pytest.raises(LayoutError, match=r"FFHQ's pictures are missing: they belong at .*00000.png"):
        read("ffhq", tmp_path)
    touch(tmp_path, "thumbnails128x128/69999.png")
    samples, _ = read("ffhq", tmp_path)
    assert [(sample.split, dict(sample.labels)) for sample in samples] == [("test", {})]
    write(tmp_path / "ffhq_aging_labels.csv", "image_number,age")
    with pytest.raises(LayoutError, match="has no column age_group, age_group_confidence, gender"):
        read("ffhq", tmp_path)


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
    samples, bad = read("lfwa", root)
    assert [(sample.key, sample.split, sample.person) for sample in samples] == [
        ("lfw_funneled/Aaron_Eckhart/Aaron_Eckhart_0001.jpg", "test", "Aaron_Eckhart"),
        ("lfw_funneled/Zach_Braff/Zach_Braff_0002.jpg", "train", "Zach_Braff"),
    ]
    for sample, positive in zip(samples, ("Male", "Smiling"), strict=True):
        attributes = sample.labels["attributes"]
        assert set(attributes) == set(ATTRIBUTES)
        assert [name for name, value in attributes.items() if value == 1.0] == [positive]
    assert [(entry.key, entry.reason) for entry in bad] == [
        (_NAMES[2], "indices_train_test.mat has it neither among training nor test pictures")
    ]


def test_lfwa_has_celebas_attributes_and_its_official_split(tmp_path: Path) -> None:
    (tmp_path / "lfw_funneled").mkdir()
    _mat_73(tmp_path / "lfw_att_40.mat", name=_NAMES, AttrName=_WORDS, label=_values())
    with pytest.raises(LayoutError, match="list of training and test pictures is missing"):
        read("lfwa", tmp_path)
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
        read("lfwa", tmp_path)
    (tmp_path / "lfw").mkdir()
    with pytest.raises(LayoutError, match=r"LFWA's attributes are missing: .*lfw_att_40.mat"):
        read("lfwa", tmp_path)
    _mat_73(
        tmp_path / "indices_train_test.mat",
        indices_img_train=np.array([[1, 2]]),
        indices_img_test=np.array([[3]]),
    )
    (tmp_path / "lfw_att_40.mat").write_bytes(b"no table at all")
    with pytest.raises(LayoutError, match=r"lfw_att_40.mat is no .mat file"):
        read("lfwa", tmp_path)
    _mat_73(tmp_path / "lfw_att_40.mat", name=_NAMES, AttrName=_WORDS)
    with pytest.raises(LayoutError, match="has no variable 'label'"):
        read("lfwa", tmp_path)
    _mat_73(tmp_path / "lfw_att_40.mat", name=_NAMES, AttrName=[*_WORDS[:-1], "Asian"], label=_values())
    with pytest.raises(LayoutError, match="unknown attributes asian"):
        read("lfwa", tmp_path)
    values = _values()
    values[1, 3] = np.nan
    _mat_73(tmp_path / "lfw_att_40.mat", name=_NAMES, AttrName=_WORDS, label=values)
    samples, bad = read("lfwa", tmp_path)
    assert len(samples) == 2
    assert [(entry.key, entry.reason) for entry in bad] == [
        (_NAMES[1], "its attributes in lfw_att_40.mat are not 0 or 1")
    ]


def test_lfwa_takes_the_older_tables_signs_for_the_attributes_that_it_shares(tmp_path: Path) -> None:
    (tmp_path / "lfw").mkdir()
    write(
        tmp_path / "lfw_attributes.txt",
        "# lfw_attributes.txt",
        "#\tperson\timagenum\tMale\tAsian\t5 o' Clock Shadow\tSmiling",
        "Aaron Eckhart\t1\t1.56\t-1.8\t0.2\t-0.7",
        "AJ Cook\t12\t-0.56\t1.8\t-0.2\t0.7",
        "Zach Braff\tone\t1\t1\t1\t1",
    )
    samples, bad = read("lfwa", tmp_path)
    assert [(sample.key, sample.person) for sample in samples] == [
        ("lfw/Aaron_Eckhart/Aaron_Eckhart_0001.jpg", "Aaron_Eckhart"),
        ("lfw/AJ_Cook/AJ_Cook_0012.jpg", "AJ_Cook"),
    ]
    assert samples[0].labels["attributes"] == {"Male": 1.0, "5_o_Clock_Shadow": 1.0, "Smiling": 0.0}
    assert samples[1].labels["attributes"] == {"Male": 0.0, "5_o_Clock_Shadow": 0.0, "Smiling": 1.0}
    assert [entry.key for entry in bad] == ["Zach_Braff"]
    write(tmp_path / "peopleDevTrain.txt", "1", "AJ_Cook\t1")
    write(tmp_path / "peopleDevTest.txt", "1", "Aaron_Eckhart\t1")
    samples, _ = read("lfwa", tmp_path)
    assert [sample.split for sample in samples] == ["test", "train"]
    write(tmp_path / "lfw_attributes.txt", "Aaron Eckhart\t1\t1.56")
    with pytest.raises(LayoutError, match=r"has no line `# person imagenum Male ...`"):
        read("lfwa", tmp_path)
