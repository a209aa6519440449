"""Data of one's own: what is understood of tables, folders, COCO files and tars, and what is refused."""

import base64
import csv
import decimal
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.own_tables import only, samples, written
from training.data.own.opening import open_source
from training.data.own.source import Settings
from training.data.reader import LayoutError
from training.data.sample import BadSample, Sample
from training.tasks import CATALOGUE

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


@pytest.mark.parametrize("name", ["faces.csv", "faces.tsv", "faces.jsonl", "faces.parquet"])
def test_a_table_of_any_form_says_the_same(name: str, pictures: Path) -> None:
    row = {"path": "a.jpg", "split": "val", "person": "anna", CLASSES.name: FIRST, VALUE.name: "20-29"}
    sample = only(written(pictures, [row], name=name))
    assert (sample.key, sample.picture, sample.person) == ("a.jpg", pictures / "a.jpg", "anna")
    assert sample.split == "validation"
    assert sample.labels == {CLASSES.name: FIRST, VALUE.name: [20, 29]}


def test_parts_of_labels_have_columns_of_their_own(pictures: Path) -> None:
    one, other, third = SEVERAL.labels[:3]
    row = {
        "path": "a.jpg",
        f"{SEVERAL.name}.{one}": "yes",
        f"{SEVERAL.name}.{other}": 0,
        f"{SEVERAL.name}.{third}": "",
        f"{CLASSES.name}.{FIRST}": 3,
        f"{CLASSES.name}.{SECOND}": 1,
        f"{VALUE.name}.{VALUE.labels[0]}": 31,
        **{f"{ROTATION.name}.{label}": i for i, label in enumerate(ROTATION.labels)},
        f"{POINTS.name}.{POINTS.labels[2]}.x": 5,
        f"{POINTS.name}.{POINTS.labels[2]}.y": 6.5,
    }
    labels = only(written(pictures, [row])).labels
    assert labels[SEVERAL.name] == {one: 1, other: 0}
    assert labels[CLASSES.name] == {FIRST: 0.75, SECOND: 0.25}
    assert labels[VALUE.name] == [31, 31]
    assert labels[ROTATION.name] == [0, 1, 2]
    assert labels[POINTS.name][:4] == [None, None, [5, 6.5], None]


def test_a_cell_may_hold_json_and_semicolons_may_part_cells(pictures: Path) -> None:
    label = json.dumps({FIRST: 0.5, SECOND: 0.5})
    (pictures / "faces.csv").write_text(f"path;{CLASSES.name};box\na.jpg;{label};1 2 30.5 40\n")
    sample = only(pictures / "faces.csv")
    assert sample.labels == {CLASSES.name: {FIRST: 0.5, SECOND: 0.5}}
    assert list(sample.box or ()) == [1, 2, 30.5, 40]


def test_a_box_and_five_points_say_which_face_is_meant(pictures: Path) -> None:
    row = {
        "path": "a.jpg",
        VALUE.name: 30,
        "x0": 1,
        "y0": 2,
        "x1": 30,
        "y1": 40,
        "five_points": "1 2 3 4 5 6 7 8 9 0",
    }
    sample = only(written(pictures, [row]))
    assert list(sample.box or ()) == [1, 2, 30, 40]
    assert sample.landmarks is not None
    assert sample.landmarks.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 0]]
    assert sample.key == "a.jpg@1,2,30,40"  # another face of the picture is another row


@pytest.mark.parametrize("name", ["faces.jsonl", "faces.parquet", "faces.csv"])
def test_pictures_may_be_in_the_table(name: str, tmp_path: Path, portrait: bytes) -> None:
    content: Any = portrait if name.endswith("parquet") else base64.b64encode(portrait).decode()
    sample = only(written(tmp_path, [{"bytes": content, VALUE.name: 30}], name=name))
    assert decoded(sample).shape == (200, 210, 3)
    assert sample.key == "row 1"


def test_masks_are_files(pictures: Path) -> None:
    assert cv2.imwrite(str(pictures / "a.png"), np.zeros((200, 210), np.uint8))
    sample = only(written(pictures, [{"path": "a.jpg", MASK.name: "a.png"}]))
    assert (sample.mask, sample.mask_task) == (pictures / "a.png", MASK.name)
    (bad,) = samples(written(pictures, [{"path": "a.jpg", MASK.name: "no.png"}]))
    assert isinstance(bad, BadSample)


def test_without_a_split_a_person_s_faces_stay_together_and_about_a_seventh_is_for_testing(
    tmp_path: Path,
) -> None:
    rows = [{"path": f"{i}.jpg", "person": f"p{i // 4}", VALUE.name: 30} for i in range(800)]
    found = samples(written(tmp_path, rows))
    splits: dict[str, set[str]] = {}
    for sample in found:
        assert isinstance(sample, Sample)
        splits.setdefault(sample.person, set()).add(sample.split)
    assert all(len(of_person) == 1 for of_person in splits.values())
    assert 60 < sum(isinstance(s, Sample) and s.split == "test" for s in found) < 180
    assert all(
        isinstance(s, Sample) and s.split == "train" for s in samples(tmp_path / "faces.csv", split="train")
    )


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"path": "../secret.jpg", VALUE.name: 30}, "leads out of"),
        ({"path": "/etc/passwd", VALUE.name: 30}, "leads out of"),
        ({"path": "", VALUE.name: 30}, "it has no path"),
        ({"path": "a.jpg", VALUE.name: "old"}, "write a number, or an interval"),
        ({"path": "a.jpg", VALUE.name: "inf"}, "write a number"),
        ({"path": "a.jpg", VALUE.name: "-5"}, "out of"),
        ({"path": "a.jpg", CLASSES.name: "hungry"}, f"it is one of {FIRST}"),
        ({"path": "a.jpg", SEVERAL.name: "much"}, f"no label of the kind {SEVERAL.kind}"),
        ({"path": "a.jpg", SEVERAL.name: "{not json"}, "which is no JSON"),
        ({"path": "a.jpg", f"{SEVERAL.name}.{SEVERAL.labels[0]}": "perhaps"}, "which is no number"),
        ({"path": "a.jpg", f"{SEVERAL.name}.{SEVERAL.labels[0]}": 3}, "out of 0 to 1"),
        ({"path": "a.jpg", VALUE.name: 3, "split": "tests"}, "its split is 'tests'"),
        ({"path": "a.jpg", VALUE.name: 3, "box": "1 2 3"}, "its box has 3 numbers, not 4"),
        ({"path": "a.jpg", VALUE.name: 3, "box": "9 9 3 3"}, "is empty"),
        ({"path": "a.jpg", VALUE.name: 3, "five_points": "1 2"}, "2 numbers, not 10"),
        ({"bytes": "%%%", VALUE.name: 3}, "no base64"),
        ({"path": "a" * 5000 + ".jpg", VALUE.name: 3}, "can't be looked for (File name too long)"),
        ({"path": "a.jpg", VALUE.name: 3, "box": "1 2 1e300 4"}, "lies in no picture"),
        ({"path": "a.jpg", VALUE.name: 3, "box": "-1000 -1000 -900 -900"}, "outside of the picture"),
        ({"path": "a.jpg", VALUE.name: 3, "x0": "yes", "y0": 0, "x1": 5, "y1": 5}, "which is no number"),
    ],
)
def test_a_bad_row_is_told_and_left_out(row: dict[str, Any], complaint: str, pictures: Path) -> None:
    good = {"path": "b.jpg", VALUE.name: 40}
    bad, fine = samples(written(pictures, [row, good]))
    assert isinstance(bad, BadSample), bad
    assert bad.reason.startswith("row 1: ")
    assert complaint in bad.reason
    assert isinstance(fine, Sample)
    assert len(bad.key) + len(bad.reason) < 800


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ({"bytes": 10**10, VALUE.name: 3}, "its bytes are 10000000000"),
        ({"bytes": 2.5, VALUE.name: 3}, "its bytes are 2.5"),
        ({"bytes": ["a"], VALUE.name: 3}, "write a picture's file in base64"),
        ({"bytes": {"bytes": 5}, VALUE.name: 3}, "its bytes are 5"),
        ({"path": "a.jpg", VALUE.name: 10**400}, "too large"),
        ({"path": "a.jpg", VALUE.name: True}, "is True, which is no number"),
        ({"path": "a.jpg", VALUE.name: [True, 30]}, "which is no number"),
        ({"path": "a.jpg", CLASSES.name: {FIRST: [1]}}, f"no label of the kind {CLASSES.kind}"),
        ("[" * 100_000, "it is no JSON"),
    ],
)
def test_a_line_of_json_with_what_no_cell_can_be_is_a_bad_row(
    line: Any, complaint: str, tmp_path: Path
) -> None:
    lines = [
        line if isinstance(line, str) else json.dumps(line),
        json.dumps({"path": "b.jpg", VALUE.name: 4}),
    ]
    (tmp_path / "faces.jsonl").write_text("\n".join(lines))
    bad, fine = samples(tmp_path / "faces.jsonl")
    assert isinstance(bad, BadSample), bad
    assert complaint in bad.reason
    assert isinstance(fine, Sample)


def test_json_has_labels_and_pictures_as_they_are(tmp_path: Path, portrait: bytes) -> None:
    # Pictures as Hugging Face's data sets have them, with line breaks in base64.
    content = {"bytes": base64.encodebytes(portrait).decode(), "path": None}
    row = {"bytes": content, CLASSES.name: {FIRST: 0.4, SECOND: 0.6}}
    (tmp_path / "faces.jsonl").write_text(json.dumps(row))
    sample = only(tmp_path / "faces.jsonl")
    assert decoded(sample).shape == (200, 210, 3)
    assert sample.labels == {CLASSES.name: {FIRST: 0.4, SECOND: 0.6}}


def test_a_picture_in_a_csv_may_be_long_and_other_tables_keep_their_limit(tmp_path: Path) -> None:
    limit = 131_072  # csv's own; another library of this process may have set another one
    before = csv.field_size_limit(limit)
    try:
        content = base64.b64encode(bytes(limit)).decode()
        found = only(written(tmp_path, [{"bytes": content, VALUE.name: 30}]))
        assert found.labels == {VALUE.name: [30, 30]}
        assert csv.field_size_limit() == limit
    finally:
        csv.field_size_limit(before)


def test_in_a_table_with_semicolons_commas_are_decimal_points_of_numbers_alone(tmp_path: Path) -> None:
    names = ["path", "person", VALUE.name, f"{CLASSES.name}.{FIRST}", "box", "five_points"]
    cells = ["a,1.jpg", "1,5", "20,5 - 29,5", "0,25", "1,5 2 30,5 40", "1,2,3,4,5,6,7,8,9,0"]
    (tmp_path / "faces.csv").write_text(f"{';'.join(names)}\n{';'.join(cells)}\n")
    sample = only(tmp_path / "faces.csv")
    assert (sample.person, sample.picture) == ("1,5", tmp_path / "a,1.jpg")
    assert sample.labels == {VALUE.name: [20.5, 29.5], CLASSES.name: {FIRST: 1}}
    assert list(sample.box or ()) == [1.5, 2, 30.5, 40]
    assert sample.landmarks is not None
    assert sample.landmarks[0].tolist() == [1, 2]


def test_a_parquet_file_has_decimals_and_damage_in_it_is_told_with_its_name(tmp_path: Path) -> None:
    file = written(tmp_path, [{"path": "a.jpg", VALUE.name: decimal.Decimal("20.5")}], name="faces.parquet")
    assert only(file).labels == {VALUE.name: [20.5, 20.5]}
    content = bytearray(file.read_bytes())
    content[4:24] = b"\xff" * 20  # the header of the first page
    file.write_bytes(content)
    with pytest.raises(LayoutError, match=r"faces\.parquet is no whole Parquet file \([^\n]*\): write"):
        samples(file)


def test_a_row_of_other_length_is_told(pictures: Path) -> None:
    (pictures / "faces.csv").write_text(f"path,{VALUE.name}\na.jpg,30,more\nb.jpg,40\n")
    bad, fine = samples(pictures / "faces.csv")
    assert isinstance(bad, BadSample)
    assert bad.reason == "row 1: it has 3 cells, and the first line 2"
    assert isinstance(fine, Sample)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        (f"file,{VALUE.name}\n", "no column 'path'"),
        ("path,mood\n", "no column of .* is a task"),
        (f"path,{VALUE.name},{VALUE.name}\n", "two columns called"),
        (f"path,{CLASSES.name}.hungry\n", "has no such label"),
        (f"path,{CLASSES.name},{CLASSES.name}.{FIRST}\n", "whole and in parts"),
        (f"path,{VALUE.name},x0,y0\n", "only some of the columns"),
        (f"path,{MASK.name}.{MASK.labels[0]}\n", "has no such label"),
    ],
)
def test_columns_that_can_not_be_meant_are_refused(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text(text)
    with pytest.raises(LayoutError, match=complaint):
        open_source(tmp_path / "faces.csv", Settings())


def test_a_column_that_nearly_is_a_task_is_named(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text(f"path,{VALUE.name},{CLASSES.name[:-1]}\n")
    columns = open_source(tmp_path / "faces.csv", Settings()).columns
    assert f"did you mean {CLASSES.name}?" in columns[CLASSES.name[:-1]]


@pytest.mark.parametrize(
    "name", ["faces.csv", "faces.jsonl", "faces.parquet", "faces.json", "faces.tar", "faces.xyz"]
)
def test_what_is_no_table_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0" * 20)
    with pytest.raises(LayoutError, match=name):
        open_source(tmp_path / name, Settings())
    with pytest.raises(LayoutError, match="does not exist"):
        open_source(tmp_path / "no.csv", Settings())
