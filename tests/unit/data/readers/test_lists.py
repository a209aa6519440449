"""FairFace, UTKFace, CelebA, FER2013, YouTube Faces with 68 points, folders of photos: each in a small
copy of its official layout."""

import pathlib
from collections import Counter

import numpy as np
import pytest

from training.data.inventory import find_shortage, take_inventory
from training.data.reader import LayoutError
from training.data.readers import reader_of
from training.data.sample import BadSample, Sample
from training.tasks import CATALOGUE


def _read(name: str, source: pathlib.Path) -> tuple[list[Sample], list[BadSample]]:
    entries = list(reader_of(name).read(source))
    return [e for e in entries if isinstance(e, Sample)], [e for e in entries if isinstance(e, BadSample)]


def _touch(root: pathlib.Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


_FAIRFACE = """file,age,gender,race,service_test
train/1.jpg,50-59,Male,East Asian,True
train/2.jpg,more than 70,Female,Latino_Hispanic,False
train/3.jpg,0-2,Male,White,True
"""


def test_fairface_has_ages_in_bins_and_the_official_validation_list_for_testing(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "fairface_label_train.csv").write_text(_FAIRFACE)
    (tmp_path / "fairface_label_val.csv").write_text(
        "file,age,gender,race,service_test\nval/1.jpg,3-9,Female,Black,True\n"
    )
    samples, bad = _read("fairface", tmp_path)
    assert not bad
    assert [(s.key, s.split) for s in samples] == [
        ("train/1.jpg", "train"),
        ("train/2.jpg", "train"),
        ("train/3.jpg", "train"),
        ("val/1.jpg", "test"),
    ]
    assert samples[0].labels == {"age": [50, 59], "gender": "male", "race": "East_Asian"}
    assert samples[1].labels == {"age": [70, 100], "gender": "female", "race": "Latino_Hispanic"}
    assert samples[0].picture == tmp_path / "train/1.jpg"


def test_fairface_without_that_list_keeps_pictures_of_the_training_list_out(tmp_path: pathlib.Path) -> None:
    rows = [f"train/{i}.jpg,20-29,Male,White,True" for i in range(3000)]
    (tmp_path / "fairface_label_train.csv").write_text(
        "\n".join(["file,age,gender,race,service_test", *rows])
    )
    samples, _ = _read("fairface", tmp_path)
    assert Counter(s.split for s in samples) == {"train": 1000, "test": 2000}
    again, _ = _read("fairface", tmp_path)
    assert samples == again


def test_fairface_s_malformed_rows_are_told_and_another_table_is_refused(tmp_path: pathlib.Path) -> None:
    table = tmp_path / "fairface_label_train.csv"
    table.write_text(_FAIRFACE + "train/4.jpg,old,Male,White,True\ntrain/5.jpg,0-2\n")
    samples, bad = _read("fairface", tmp_path)
    assert len(samples) == 3
    assert [b.key for b in bad] == ["train/4.jpg", "train/5.jpg"]
    assert "'old'" in bad[0].reason
    table.write_text("name,years\na,1\n")
    with pytest.raises(LayoutError, match="has no column file, age, gender, race"):
        _read("fairface", tmp_path)


def test_utkface_s_names_say_age_gender_and_race(tmp_path: pathlib.Path) -> None:
    names = ["100_1_0_2017.jpg.chip.jpg", "26_0_4_2017.jpg.chip.jpg", "39_1_2017.jpg.chip.jpg", "x_0_1_2.jpg"]
    _touch(tmp_path / "UTKFace", *names, "7_2_0_2017.jpg", ".DS_Store")
    samples, bad = _read("utkface", tmp_path)
    assert [(s.key, s.labels) for s in samples] == [
        ("UTKFace/" + names[0], {"age": [100, 100], "gender": "female", "race_utkface": "White"}),
        ("UTKFace/" + names[1], {"age": [26, 26], "gender": "male", "race_utkface": "Others"}),
    ]
    assert [b.key for b in bad] == ["UTKFace/" + names[2], "UTKFace/7_2_0_2017.jpg", "UTKFace/x_0_1_2.jpg"]
    assert {b.reason for b in bad} == {"its name is not age_gender_race_date"}


def test_utkface_keeps_1500_pictures_out(tmp_path: pathlib.Path) -> None:
    _touch(tmp_path / "UTKFace", *(f"30_0_0_{i}.jpg" for i in range(3100)))
    samples, _ = _read("utkface", tmp_path)
    assert Counter(s.split for s in samples) == {"train": 1600, "test": 1500}
    _touch(tmp_path / "few" / "UTKFace", *(f"30_0_0_{i}.jpg" for i in range(20)))
    samples, _ = _read("utkface", tmp_path / "few")
    assert Counter(s.split for s in samples) == {"train": 10, "test": 10}


def _celeba(root: pathlib.Path, *rows: str, anno: str = "") -> None:
    # The columns in another order than the catalogue's: they are found by their names.
    names = list(reversed(CATALOGUE["attributes"].labels))
    lines = []
    for row in rows:
        name, on = row.split()
        lines.append(" ".join([name, *("1" if label == on else "-1" for label in names)]))
    (root / anno).mkdir(parents=True, exist_ok=True)
    (root / anno / "list_attr_celeba.txt").write_text("\n".join([str(len(rows)), " ".join(names), *lines]))


def test_celeba_s_columns_splits_and_persons_come_from_its_lists(tmp_path: pathlib.Path) -> None:
    _celeba(tmp_path, "000001.jpg Smiling", "000002.jpg Male", "000003.jpg Bald", anno="Anno")
    (tmp_path / "Eval").mkdir()
    (tmp_path / "Eval/list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n")
    (tmp_path / "Anno/identity_CelebA.txt").write_text("000001.jpg 2880\n000002.jpg 8\n000003.jpg 2880\n")
    _touch(tmp_path / "Img/img_align_celeba", "000001.jpg")
    samples, bad = _read("celeba", tmp_path)
    assert not bad
    assert [(s.key.rpartition("/")[2], s.split, s.person) for s in samples] == [
        ("000001.jpg", "train", "2880"),
        ("000002.jpg", "validation", "8"),
        ("000003.jpg", "test", "2880"),
    ]
    on = [[label for label, value in s.labels["attributes"].items() if value == 1] for s in samples]
    assert on == [["Smiling"], ["Male"], ["Bald"]]
    assert set(samples[0].labels["attributes"]) == set(CATALOGUE["attributes"].labels)
    assert samples[0].picture == tmp_path / "Img/img_align_celeba/000001.jpg"


def test_celeba_without_the_partition_tests_on_its_last_1500(tmp_path: pathlib.Path) -> None:
    _celeba(tmp_path, *(f"{i:06d}.jpg Male" for i in range(1, 1504)))
    _touch(tmp_path / "img_align_celeba", "000001.jpg")
    samples, _ = _read("celeba", tmp_path)
    assert [s.split for s in samples] == ["train"] * 3 + ["test"] * 1500


def test_celeba_s_malformed_lines_are_told_and_other_lists_refused(tmp_path: pathlib.Path) -> None:
    _celeba(tmp_path, "000001.jpg Male", "000002.jpg Male")
    _touch(tmp_path / "img_align_celeba", "000001.jpg")
    table = tmp_path / "list_attr_celeba.txt"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, "000003.jpg 1 -1", lines[-1].replace("-1", "0")]))
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 0\n000003.jpg 0\n")
    samples, bad = _read("celeba", tmp_path)
    assert [s.key for s in samples] == ["img_align_celeba/000001.jpg"]
    assert [b.reason for b in bad] == [
        "list_eval_partition.txt does not name it",
        "its line in list_attr_celeba.txt is not 40 times 1 or -1",
        "list_eval_partition.txt does not name it",
    ]
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg\n")
    with pytest.raises(LayoutError, match=r"is not a list of lines `000001.jpg 1`"):
        _read("celeba", tmp_path)
    table.write_text("1\nSmiling Male\n000001.jpg 1 1\n")
    with pytest.raises(LayoutError, match="does not name 5_o_Clock_Shadow, Arched_Eyebrows, Attractive"):
        _read("celeba", tmp_path)


_EXPRESSIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}


def test_fer2013_s_folders_are_the_catalogue_s_expressions(tmp_path: pathlib.Path) -> None:
    for part in ("train", "validation"):
        _touch(tmp_path / part, *(f"{name}/{part}.jpg" for name in _EXPRESSIONS))
    samples, _ = _read("fer2013", tmp_path)
    assert {s.key.split("/")[1]: s.labels["expression"] for s in samples} == _EXPRESSIONS
    assert Counter(s.split for s in samples) == {"train": 7, "test": 7}
    _touch(tmp_path / "test", "happy/1.jpg")
    samples, _ = _read("fer2013", tmp_path)
    assert Counter(s.split for s in samples) == {"train": 7, "validation": 7, "test": 1}
    _touch(tmp_path / "train", "bored/1.jpg")
    with pytest.raises(LayoutError, match="bored is no expression"):
        _read("fer2013", tmp_path)


def test_fer2013_s_table_holds_its_pictures(tmp_path: pathlib.Path) -> None:
    pixels = np.arange(48 * 48) % 256
    text = " ".join(map(str, pixels))
    rows = [f"3,{text},Training", f"0,{text},PublicTest", "6,1 2 3,PrivateTest", f"7,{text},Training", "x"]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
    samples, bad = _read("fer2013", tmp_path)
    assert [(s.labels["expression"], s.split) for s in samples] == [
        ("happiness", "train"),
        ("anger", "validation"),
        ("neutral", "test"),
    ]
    picture = samples[0].picture
    assert callable(picture)
    assert (picture() == pixels.astype(np.uint8).reshape(48, 48, 1)).all()
    assert picture().shape == (48, 48, 3)
    assert callable(samples[2].picture)
    with pytest.raises(ValueError, match="not 2304 numbers of 0 to 255"):
        samples[2].picture()
    assert [b.key for b in bad] == ["fer2013.csv:5", "fer2013.csv:6"]
    (tmp_path / "fer2013.csv").write_text("a,b\n")
    with pytest.raises(LayoutError, match="does not begin with emotion,pixels,Usage"):
        _read("fer2013", tmp_path)


def _youtube(root: pathlib.Path, *names: str) -> None:
    header = ",".join(["file", *(f"{axis}{i}" for i in range(68) for axis in "xy")])
    rows = [",".join([name, *(f"{i / 2}" for i in range(136))]) for name in names]
    (root / "landmarks68.csv").write_text("\n".join([header, *rows]))
    (root / "images").mkdir(exist_ok=True)


def test_youtube_s_frames_have_68_points_and_persons_do_not_cross_splits(tmp_path: pathlib.Path) -> None:
    _youtube(tmp_path, *(f"Person_{p}_{i:02d}.jpg" for p in range(30) for i in range(40)))
    samples, bad = _read("youtube68", tmp_path)
    assert not bad
    assert samples[0].labels["landmarks"][:2] == [[0, 0.5], [1, 1.5]]
    assert samples[0].key == "images/Person_0_00.jpg"
    by_split = {split: {s.person for s in samples if s.split == split} for split in ("train", "test")}
    assert len(by_split["train"]) == 20
    assert len(by_split["test"]) == 10
    assert not by_split["train"] & by_split["test"]


def test_youtube_s_malformed_rows_are_told_and_another_table_is_refused(tmp_path: pathlib.Path) -> None:
    _youtube(tmp_path, "Ann_1.jpg", "Ben_1.jpg")
    table = tmp_path / "landmarks68.csv"
    table.write_text(table.read_text() + "\nCid_1.jpg,1,2,3\n")
    samples, bad = _read("youtube68", tmp_path)
    assert len(samples) == 2
    assert [(b.key, b.reason) for b in bad] == [
        ("images/Cid_1.jpg", "its line in landmarks68.csv is not 68 times x and y")
    ]
    table.write_text("file,x,y\n")
    with pytest.raises(LayoutError, match="has 3 columns"):
        _read("youtube68", tmp_path)


def test_photos_are_all_pictures_below_a_folder(tmp_path: pathlib.Path) -> None:
    _touch(tmp_path, "b/2.PNG", "a.jpg", "b/c d/é.webp", "notes.txt")
    samples, _ = _read("photos", tmp_path)
    assert [s.key for s in samples] == ["a.jpg", "b/2.PNG", "b/c d/é.webp"]
    assert all(not s.labels and s.split == "train" for s in samples)


def test_what_the_official_release_has_and_a_folder_has_not_is_said(tmp_path: pathlib.Path) -> None:
    _youtube(tmp_path, "Ann_1.jpg", "Ben_1.jpg")
    reader = reader_of("youtube68")
    assert find_shortage(reader, tmp_path, take_inventory(reader, tmp_path)) == (
        f"2 pictures that the lists name are missing, the first is {tmp_path}/images/Ann_1.jpg"
    )
    _touch(tmp_path / "images", "Ann_1.jpg", "Ben_1.jpg")
    found = take_inventory(reader, tmp_path)
    assert find_shortage(reader, tmp_path, found) == f"{tmp_path} has 2 pictures, the official release 3462"
    assert take_inventory(reader, tmp_path).digest == found.digest
    table = tmp_path / "landmarks68.csv"
    table.write_text(table.read_text().replace("0.5", "0.6"))
    assert take_inventory(reader, tmp_path).digest != found.digest
