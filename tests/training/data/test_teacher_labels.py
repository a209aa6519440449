"""A teacher's labels reach the data core through one file that knows nothing of the teacher."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data import teacher_labels as teacher_module
from training.data.labels import checked, column_shape
from training.data.teacher_labels import (
    TeacherFile,
    TeacherLabels,
    complete,
    read_teacher_file,
    write_teacher_file,
)
from training.tasks import CATALOGUE

TASKS = ("expression", "action_units", "age", "head_pose", "landmarks")
EXAMPLES: dict[str, Any] = {
    "expression": [0.1, 0.0, 0.0, 0.7, 0.0, 0.0, 0.2],
    "action_units": [0.5] * 5 + [np.nan] + [0.25] * 6,
    "age": [20, 29],
    "head_pose": [-10, 5, 2.5],
    "landmarks": [[i, 2 * i] for i in range(68)],
}


def made(
    *names: str, teacher: str = "A teacher (MIT)", tasks: tuple[str, ...] = TASKS, **changed: Any
) -> TeacherFile:
    """Labels of pictures of 100x80 pixels, all with a face and the same EXAMPLES."""
    count = len(names)
    values = {
        task: np.broadcast_to(
            np.array(EXAMPLES[task], np.float32), (count, *column_shape(CATALOGUE[task]))
        ).copy()
        for task in tasks
    }
    fields: dict[str, Any] = {
        "teacher": teacher,
        "names": np.array(names),
        "sizes": np.tile(np.int32([100, 80]), (count, 1)),
        "found": np.ones(count, bool),
        "five": np.zeros((count, 5, 2), np.float32) + np.arange(count, dtype=np.float32)[:, None, None],
        "values": values,
        "confidence": {task: np.full(count, 0.5, np.float32) for task in tasks},
    }
    return TeacherFile(**fields | changed)


def written(folder: Path, *names: str, **changed: Any) -> TeacherLabels:
    path = folder / f"{len(list(folder.iterdir()))}.npz"
    write_teacher_file(path, made(*names, **changed))
    return TeacherLabels(path)


def test_labels_come_back_as_samples_write_them(tmp_path: Path) -> None:
    labels = written(tmp_path, "set/train/1.jpg", "set/train/2.jpg")
    assert labels.teacher == "A teacher (MIT)"
    assert set(labels.tasks) == set(TASKS)
    face = labels.labels("set/train/2.jpg", size=(100, 80))
    assert face is not None
    assert face.labels["expression"]["happiness"] == pytest.approx(0.7)
    assert "AU9" not in face.labels["action_units"]
    assert face.labels["action_units"]["AU12"] == 0.25
    assert face.labels["age"] == [20, 29]
    assert face.labels["head_pose"] == [-10, 5, 2.5]
    assert face.labels["landmarks"][3] == [3, 6]
    assert face.confidence == dict.fromkeys(TASKS, 0.5)
    assert face.five is not None
    assert (face.five == 1).all()
    for task, label in face.labels.items():
        assert checked(task, label, picture=(100, 200)) is not None


def test_points_and_tasks_that_the_teacher_leaves_open_are_not_known(tmp_path: Path) -> None:
    file = made("a.jpg")
    file.values["landmarks"][0, 3] = np.nan
    file.values["head_pose"][0] = np.nan
    write_teacher_file(tmp_path / "file.npz", file)
    face = TeacherLabels(tmp_path / "file.npz").labels("a.jpg")
    assert face is not None
    assert face.labels["landmarks"][3] is None
    assert face.labels["landmarks"][4] == [4, 8]
    assert "head_pose" not in face.labels
    assert "head_pose" not in face.confidence


def test_a_picture_is_found_by_its_last_folders_and_never_by_its_name_alone(tmp_path: Path) -> None:
    labels = written(tmp_path, "fairface/train/1.jpg")
    assert labels.labels("train/1.jpg") is not None
    assert labels.labels("1.jpg") is not None
    assert labels.labels("data/fairface/train/1.jpg") is not None
    assert labels.labels("val/1.jpg") is None
    assert labels.labels("train/11.jpg") is None
    assert labels.labels("n/1.jpg") is None


def test_a_name_that_may_be_either_of_two_pictures_is_refused(tmp_path: Path) -> None:
    labels = written(tmp_path, "set/train/1.jpg", "set/val/1.jpg")
    assert labels.labels("val/1.jpg") is not None
    with pytest.raises(ValueError, match=r"set/train/1\.jpg and set/val/1\.jpg, and 1\.jpg may be either"):
        labels.labels("1.jpg")


def test_a_picture_of_another_size_than_the_one_labelled_is_refused(tmp_path: Path) -> None:
    labels = written(tmp_path, "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg has 50x40 pixels and had 100x80"):
        labels.labels("a.jpg", size=(50, 40))


def test_a_picture_without_a_face_has_no_labels(tmp_path: Path) -> None:
    labels = written(
        tmp_path, "a.jpg", "b.jpg", found=np.array([False, True]), sizes=np.int32([[0, 0], [100, 80]])
    )
    assert labels.labels("a.jpg", size=(100, 80)) is None
    assert labels.labels("b.jpg", size=(100, 80)) is not None


def test_people_come_before_teachers_and_the_first_teacher_before_the_second(tmp_path: Path) -> None:
    first = written(
        tmp_path, "a.jpg", tasks=("age", "head_pose"), five=np.full((1, 5, 2), np.nan, np.float32)
    )
    second = written(tmp_path, "a.jpg", "b.jpg", tasks=("head_pose", "expression"), teacher="Another (MIT)")
    done = complete({"age": [30, 30]}, key="a.jpg", teachers=[first, second], size=(100, 80))
    assert done.labels["age"] == [30, 30]
    assert done.labelled_by == {"head_pose": "A teacher (MIT)", "expression": "Another (MIT)"}
    assert done.confidence == {"head_pose": 0.5, "expression": 0.5}
    assert done.five is not None
    only = complete({"age": [30, 30]}, key="b.jpg", teachers=[first])
    assert only.labels == {"age": [30, 30]}
    assert only.five is None


def test_a_folder_of_files_is_one_teacher(tmp_path: Path) -> None:
    write_teacher_file(tmp_path / "labels-000000.npz", made("a.jpg"))
    write_teacher_file(tmp_path / "labels-000001.npz", made("b.jpg"))
    labels = TeacherLabels(tmp_path)
    assert len(labels) == 2
    assert labels.labels("b.jpg") is not None
    write_teacher_file(tmp_path / "labels-000002.npz", made("b.jpg"))
    with pytest.raises(ValueError, match=r"labels b\.jpg twice"):
        TeacherLabels(tmp_path)
    write_teacher_file(tmp_path / "labels-000002.npz", made("c.jpg", teacher="Another"))
    with pytest.raises(ValueError, match=r"A teacher .* and Another: keep each in its own folder"):
        TeacherLabels(tmp_path)


def test_what_is_no_teacher_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no \.npz"):
        TeacherLabels(tmp_path)
    with pytest.raises(ValueError, match=r"nowhere\.npz can't be read \(No such file"):
        TeacherLabels(tmp_path / "nowhere.npz")
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    with pytest.raises(ValueError, match=r"text\.npz is not a file of teacher's labels"):
        TeacherLabels(text)
    np.savez(tmp_path / "other.npz", names=np.array(["a"]))
    with pytest.raises(ValueError, match=r"other\.npz is not a file of teacher's labels of format 1"):
        TeacherLabels(tmp_path / "other.npz")
    write_teacher_file(tmp_path / "cut.npz", made("a.jpg"))
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.npz is not a file of teacher's labels"):
        TeacherLabels(tmp_path / "cut.npz")


def test_a_file_of_another_catalogue_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    write_teacher_file(path, made("a.jpg"))
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["expression/labels"] = arrays["expression/labels"][::-1]
    np.savez(path, **arrays)
    with pytest.raises(
        ValueError, match=re.escape("labels of task 'expression' that the catalogue does not have")
    ):
        read_teacher_file(path)


def test_arrays_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the sizes of 1 pictures must be \(1, 2\), not \(2, 2\)"):
        made("a.jpg", sizes=np.zeros((2, 2), np.int32))
    with pytest.raises(ValueError, match="the confidence of expression of 1 pictures must be"):
        made("a.jpg", confidence={})


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.npz"
    write_teacher_file(path, made("a.jpg"))
    before = path.read_bytes()

    def full(stream: Any, **_: Any) -> None:
        stream.write(b"some")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(teacher_module.np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        write_teacher_file(path, made("a.jpg", "b.jpg"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
