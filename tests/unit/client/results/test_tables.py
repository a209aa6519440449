"""Tables of faces: one row a face, columns by task and label, and no photo lost without a word."""

import dataclasses
import re
import sys
import warnings
from typing import Any

import pandas
import pytest

from qface_client import (
    Analysis,
    Classification,
    Face,
    InvalidInput,
    Mask,
    MultiLabel,
    Points,
    QFaceError,
    ServerBusy,
    UnknownTask,
    Value,
)
from qface_client.contract import QualityRule
from qface_client.tables import columns, faces_to_frame, rows
from tests.helpers.paths import ROOT
from tests.helpers.random_answers import CONTRACT, photo_of, stating_errors, task_of


@dataclasses.dataclass(frozen=True)
class Outcome:
    """As `analyze_many` returns."""

    index: int
    photo: Any
    analysis: Analysis | None = None
    error: QFaceError | None = None


def test_a_row_has_the_columns_that_were_announced() -> None:
    (row, *_) = rows(photo_of(2), file="a.jpg", photo=7)
    announced = columns(CONTRACT)
    assert set(row) == {column.name for column in announced}
    assert len(announced) == len({column.name for column in announced})
    for column in announced:
        value = row[column.name]
        plain = {"string": str, "category": str, "Int64": int, "float32": float}[column.dtype]
        assert value is None or type(value) is plain, column
        assert column.dtype != "category" or value in column.categories
    of_photo = ["file", "photo", "width", "height", "faces_found", "contract", "error"]
    of_face = ["face", "box.x0", "box.y0", "box.x1", "box.y1", "score"]
    names = [column.name for column in announced]
    assert names[: len(of_photo + of_face)] == of_photo + of_face
    assert list(row)[:5] == names[:5]


def test_each_kind_fills_its_columns() -> None:
    analysis = photo_of(1)
    (row,) = rows(analysis)
    face = analysis[0]
    classes, value, rotation = task_of("classes"), task_of("value"), task_of("rotation")
    one = face.answer(classes.name, Classification)
    assert row[classes.name] == one.label
    assert row[f"{classes.name}_probability"] == one.probability
    assert row[f"{classes.name}.{classes.labels[-1]}"] == one.probabilities[classes.labels[-1]]
    assert row[value.name] == 31.25
    assert [row[f"{rotation.name}.{label}"] for label in rotation.labels] == [0, 1, 2]
    several, points, mask = task_of("multilabel"), task_of("points"), task_of("mask")
    active = face.answer(several.name, MultiLabel)
    assert row[several.name] == "|".join(active.active)
    assert row[f"{several.name}.{several.labels[0]}"] == active[several.labels[0]]
    assert row[f"{points.name}.{points.labels[3]}.y"] == float(face.answer(points.name, Points).xy[3, 1])
    shares = [row[f"{mask.name}.{label}"] for label in mask.labels]
    ids = face.answer(mask.name, Mask).ids[1:]  # the first line lies outside the photo
    assert shares[:2] == [pytest.approx((ids == 0).mean()), pytest.approx((ids == 1).mean())]
    assert sum(shares) == pytest.approx(1)


def test_only_tasks_that_were_answered_have_columns() -> None:
    task = task_of("value").name
    frame = faces_to_frame([photo_of(2, tasks=[task])])
    assert list(frame.columns) == [column.name for column in columns(CONTRACT, [task])]
    with pytest.raises(UnknownTask):
        columns(CONTRACT, ["mood"])
    assert not set(frame.columns) - {column.name for column in columns(None)} - {task}


def test_a_frame_has_a_row_a_face_and_the_columns_types() -> None:
    frame = faces_to_frame([("a.jpg", photo_of(2)), ("b.jpg", photo_of(1))])
    assert frame["file"].tolist() == ["a.jpg", "a.jpg", "b.jpg"]
    assert frame["photo"].tolist() == [0, 0, 1]
    assert frame["face"].tolist() == [0, 1, 0]
    for column in columns(CONTRACT):
        dtype = frame[column.name].dtype
        assert str(dtype) == column.dtype or isinstance(dtype, pandas.StringDtype), column
    label = task_of("classes")
    assert tuple(frame[label.name].cat.categories) == label.labels
    assert frame["contract"].unique().tolist() == [CONTRACT.hash]
    assert frame["error"].isna().all()
    several = task_of("multilabel")
    assert set(frame[several.name].str.get_dummies()) <= set(several.labels)


def test_errors_and_quality_have_columns_where_the_server_states_them() -> None:
    several = task_of("multilabel")
    rule = QualityRule(task=several.name, label=several.labels[0], minimum=0.3)
    stating = dataclasses.replace(stating_errors(CONTRACT), quality=rule)
    (row,) = rows(photo_of(1, contract=stating))
    names = [column.name for column in columns(stating)]
    assert set(row) == set(names)
    value, rotation, points = (task_of(kind) for kind in ("value", "rotation", "points"))
    new = [name for name in names if name.endswith(".error") or name in ("quality", "faces_below_quality")]
    assert [name for name in names if name not in new] == [column.name for column in columns(CONTRACT)]
    assert [names[names.index(name) - 1] for name in new[:3]] == ["faces_found", "score", value.name]
    first = rotation.labels[0]
    assert names[names.index(f"{rotation.name}.{first}") + 1] == f"{rotation.name}.{first}.error"
    assert names.index(f"{points.name}.{points.labels[0]}.error") > names.index(
        f"{points.name}.{points.labels[-1]}.y"
    )
    face = photo_of(1, contract=stating)[0]
    assert row[f"{value.name}.error"] == face.answer(value.name, Value).error
    assert row["quality"] == face.quality
    assert "quality" not in [column.name for column in columns(stating, [value.name])]


def test_a_frame_of_servers_with_and_without_errors_has_them_in_their_places() -> None:
    several = task_of("multilabel")
    rule = QualityRule(task=several.name, label=several.labels[0], minimum=0.3)
    stating = dataclasses.replace(stating_errors(CONTRACT), quality=rule)
    rated = photo_of(1, contract=stating)
    left_out = Analysis([], width=9, height=9, contract=stating, faces_found=2, faces_below_quality=2)
    frame = faces_to_frame([photo_of(1), rated, left_out], empty=True)
    about = [column.name for column in columns(stating) if column.name not in rated[0].to_dict()]
    assert [name for name in frame.columns if name in about][:9] == about[:9]
    assert frame["quality"].isna().tolist() == [True, False, True]
    assert frame["faces_below_quality"].tolist()[2] == 2
    assert frame[f"{task_of('value').name}.error"].isna().tolist() == [True, False, True]


def test_results_that_come_as_they_are_ready_are_sorted_by_photo() -> None:
    results = [Outcome(3, b"...", photo_of(2)), Outcome(1, "a.jpg", photo_of(1))]
    frame = faces_to_frame(results)
    assert frame["photo"].tolist() == [1, 3, 3]
    assert frame["face"].tolist() == [0, 0, 1]
    assert frame["file"].isna().tolist() == [False, True, True]
    assert frame.index.tolist() == [0, 1, 2]


def test_photos_without_a_face_and_failed_ones_have_a_row_where_wanted() -> None:
    busy = ServerBusy("too much to do")
    results = [Outcome(0, "a.jpg", photo_of(1)), Outcome(1, "wall.jpg", photo_of(0))]
    results += [Outcome(2, "c.jpg", error=busy), Outcome(3, "d.jpg", photo_of(1))]
    frame = faces_to_frame(results, empty=True)
    assert frame["file"].tolist() == ["a.jpg", "wall.jpg", "c.jpg", "d.jpg"]
    assert frame["face"].isna().tolist() == [False, True, True, False]
    assert frame["error"].isna().tolist() == [True, True, False, True]
    assert frame["error"][2] == str(busy)
    assert frame["width"].isna().tolist() == [False, False, True, False]
    assert str(frame["face"].dtype) == "Int64"
    assert frame["faces_found"].tolist()[:2] == [1, 0]
    assert frame[task_of("value").name].count() == 2


def test_failed_photos_are_not_left_out_in_silence() -> None:
    results = [Outcome(0, "a.jpg", photo_of(1)), Outcome(1, "b.jpg", error=ServerBusy("too much to do"))]
    with pytest.warns(UserWarning, match="1 of 2 photos failed and have no row: pass empty=True"):
        frame = faces_to_frame(results)
    assert frame["file"].tolist() == ["a.jpg"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(faces_to_frame([photo_of(0)])) == 0


def test_contracts_that_changed_between_photos_are_laid_together() -> None:
    task = task_of("classes")
    swapped = dataclasses.replace(task, labels=(*task.labels[::-1], "other"))
    later = dataclasses.replace(CONTRACT, hash="later", tasks=(swapped,))
    frame = faces_to_frame([photo_of(1, tasks=[task_of("value").name]), photo_of(1, contract=later)])
    assert frame["contract"].tolist() == [CONTRACT.hash, "later"]
    assert frame[task_of("value").name].isna().tolist() == [False, True]
    assert frame[task.name].isna().tolist() == [True, False]
    both = faces_to_frame([photo_of(1), photo_of(1, contract=later)])
    assert tuple(both[task.name].cat.categories) == (*task.labels, "other")
    assert both[f"{task.name}.other"].isna().tolist() == [True, False]


def test_a_task_of_another_kind_elsewhere_keeps_both_its_values() -> None:
    value = task_of("value")
    grouped = dataclasses.replace(task_of("classes"), name=value.name)
    later = dataclasses.replace(CONTRACT, hash="later", tasks=(grouped,))
    frame = faces_to_frame([photo_of(1, tasks=[value.name]), photo_of(1, contract=later)])
    assert frame[value.name].tolist() == [31.25, grouped.labels[1]]


def test_faces_of_crops_are_rows_too() -> None:
    faces: list[Face] = list(photo_of(2))
    frame = faces_to_frame(faces)
    assert frame["photo"].tolist() == [0, 1]
    assert frame["width"].isna().all()
    assert frame["contract"].tolist() == [CONTRACT.hash] * 2


def test_no_results_are_a_frame_without_rows() -> None:
    frame = faces_to_frame([])
    assert list(frame.columns) == [column.name for column in columns(None)]
    assert len(frame) == 0


def test_without_pandas_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pip install "qface-client\[frame\]"'):
        faces_to_frame([])


def test_the_documents_columns_of_active_labels_have_none_for_a_face_without_one() -> None:
    document = (ROOT / "docs/client/results.md").read_text()
    expression = re.search(r"^active = seen\[\"action_units\"\](.*)$", document, re.MULTILINE)
    assert expression
    seen = pandas.DataFrame({"labels": pandas.array(["AU6|AU12", "", None], dtype="string")})
    active = eval(f"seen['labels']{expression[1]}", {"seen": seen})
    assert sorted(active) == ["AU12", "AU6"]
    assert active.to_numpy().sum(axis=1).tolist() == [2, 0, 0]


DATA = photo_of(1).to_dict()


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (photo_of(1)[0], r"not one Face: of one photo give \[result\]$"),
        (Outcome(0, "a.jpg", photo_of(1)), r"not one Outcome: of one photo give \[result\]$"),
        (DATA, r"not one dict: .* Analysis.from_dict\(data, contract\)"),
        ("photo.jpg", "not one str"),
        (3, "not one int"),
        ([DATA], r"a result is .*, not dict: of data a result is Analysis.from_dict\(data, contract\)"),
        (["photo.jpg"], "a result is .*, not str$"),
    ],
)
def test_what_are_no_results_is_refused_with_what_to_give(results: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        faces_to_frame(results)
