"""A teacher's labels of pictures, in a file format that all teachers share.

`training.teachers.pseudolabel` writes such files and `training.data prepare --teacher` reads them. This
module needs numpy alone, because teachers run in an environment of their own. A file is a .npz with, for N
pictures:

  format          1
  teacher         the teacher's title and licence
  names [N]       the picture's path below the labelled folder, with that folder's own name in front
  sizes [N, 2]    width and height in pixels of the picture, after its EXIF rotation
  found [N]       whether the teacher found a face; without one, nothing else is known
  five [N, 5, 2]  right eye, left eye, nose tip, right and left corner of the mouth; NaN where not known
  <task>/labels   the task's labels as the catalogue had them
  <task>/values   float32, NaN where not known: classes [N, K] probabilities; multilabel [N, K] in
                  [0, 1]; value [N, 2] (low, high); rotation [N, 3] degrees; points [N, K, 2]
  <task>/confidence [N]  the weight of the face in the task's loss, in [0, 1]

Coordinates are the picture's pixels, integers at pixel centres; angles are runtime.pose's.
"""

import dataclasses
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.labels import column_shape
from training.kinds import kind_of
from training.tasks import CATALOGUE

FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TeacherFile:
    """The content of a file, as arrays; the module's docstring describes each."""

    teacher: str
    names: NDArray[np.str_]  # [N]
    sizes: NDArray[np.int32]  # [N, 2]
    found: NDArray[np.bool_]  # [N]
    five: NDArray[np.float32]  # [N, 5, 2]
    values: Mapping[str, NDArray[np.float32]]  # by task
    confidence: Mapping[str, NDArray[np.float32]]  # by task [N]

    def __post_init__(self) -> None:
        count = len(self.names)
        shapes = {"sizes": (count, 2), "found": (count,), "five": (count, 5, 2)}
        shapes |= {f"values of {task}": (count, *column_shape(CATALOGUE[task])) for task in self.values}
        shapes |= {f"confidence of {task}": (count,) for task in self.values}
        arrays = {"sizes": self.sizes, "found": self.found, "five": self.five}
        arrays |= {f"values of {task}": array for task, array in self.values.items()}
        arrays |= {f"confidence of {task}": array for task, array in self.confidence.items()}
        for name, shape in shapes.items():
            if name not in arrays or arrays[name].shape != shape:
                got = arrays[name].shape if name in arrays else "none"
                raise ValueError(f"the {name} of {count} pictures must be {shape}, not {got}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TeacherFace:
    """A teacher's labels of one picture's face."""

    labels: dict[str, Any]  # by task, written as in training.data.sample
    confidence: dict[str, float]  # by task
    five: NDArray[np.float32] | None  # [5, 2], or None where the teacher gives no such points


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompletedLabels:
    """A face's labels by people, completed by teachers for tasks that people did not label."""

    labels: dict[str, Any]  # by task
    confidence: dict[str, float]  # of the teachers' tasks only; people's count 1
    labelled_by: dict[str, str]  # of the teachers' tasks only: the teacher
    five: NDArray[np.float32] | None  # the first teacher's that gives them


def write_teacher_file(path: pathlib.Path, file: TeacherFile) -> None:
    """Write atomically: a whole file appears, or none does."""
    arrays: dict[str, Any] = {
        "format": np.int64(FORMAT),
        "teacher": np.str_(file.teacher),
        "names": file.names,
        "sizes": file.sizes.astype(np.int32),
        "found": file.found,
        "five": file.five.astype(np.float32),
    }
    for task, values in file.values.items():
        arrays[f"{task}/labels"] = np.array(CATALOGUE[task].labels)
        arrays[f"{task}/values"] = values.astype(np.float32)
        arrays[f"{task}/confidence"] = file.confidence[task].astype(np.float32)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_teacher_file(path: pathlib.Path) -> TeacherFile:
    """Read a file; ValueError says what is wrong with one that is none, or is of another catalogue."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except OSError as error:
        raise ValueError(
            f"{path} can't be read ({error.strerror or error}): name a file or folder of "
            "training.teachers.pseudolabel"
        ) from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not a file of teacher's labels ({error}): make one with training.teachers.pseudolabel"
        ) from None
    missing = {"format", "teacher", "names", "sizes", "found", "five"} - arrays.keys()
    if missing or int(arrays["format"]) != FORMAT:
        raise ValueError(
            f"{path} is not a file of teacher's labels of format {FORMAT}: make it anew with "
            "training.teachers.pseudolabel"
        )
    tasks = [name.removesuffix("/values") for name in arrays if name.endswith("/values")]
    for task in tasks:
        labels = tuple(str(label) for label in arrays.get(f"{task}/labels", ()))
        if task not in CATALOGUE or CATALOGUE[task].labels != labels:
            raise ValueError(
                f"{path} has labels of task {task!r} that the catalogue does not have: make it anew with "
                "training.teachers.pseudolabel"
            )
    try:
        return TeacherFile(
            teacher=str(arrays["teacher"]),
            names=arrays["names"],
            sizes=arrays["sizes"],
            found=arrays["found"],
            five=arrays["five"],
            values={task: arrays[f"{task}/values"] for task in tasks},
            confidence={task: arrays[f"{task}/confidence"] for task in tasks},
        )
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): make it anew with training.teachers.pseudolabel"
        ) from None


class TeacherLabels:
    """The labels of one teacher, by picture: a file, or a folder of them.

    Attributes: `teacher`, its title; `tasks` that it labels. Raises ValueError for a file that can't be
    read, for files of several teachers in one folder, and for a picture that is labelled twice.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        paths = sorted(path.glob("*.npz")) if path.is_dir() else [path]
        if not paths:
            raise ValueError(f"{path} holds no .npz: name a file or folder of training.teachers.pseudolabel")
        self._files = [read_teacher_file(one) for one in paths]
        teachers = sorted({file.teacher for file in self._files})
        if len(teachers) > 1:
            raise ValueError(f"{path} holds labels of {' and '.join(teachers)}: keep each in its own folder")
        self.teacher = teachers[0]
        self.tasks = tuple(task for task in CATALOGUE if any(task in file.values for file in self._files))
        self._rows: dict[str, tuple[int, int]] = {}
        self._by_base: dict[str, list[str]] = {}
        for i, file in enumerate(self._files):
            for j, name in enumerate(file.names.tolist()):
                if name in self._rows:
                    raise ValueError(f"{path} labels {name} twice: label each picture once")
                self._rows[name] = (i, j)
                self._by_base.setdefault(name.rpartition("/")[2], []).append(name)

    def __len__(self) -> int:
        return len(self._rows)

    def labels(self, key: str, *, size: tuple[int, int] | None = None) -> TeacherFace | None:
        """The teacher's labels of the picture `key`; None where it has none or found no face.

        `key` is the picture's path, or its last parts: `train/1.jpg` finds `fairface/train/1.jpg` and the
        other way round, and never `val/1.jpg`. `size` (width, height), if given, must be that of the
        labelled picture. ValueError: it is not, or `key` fits several pictures.
        """
        base = key.rpartition("/")[2]
        fitting = [name for name in self._by_base.get(base, ()) if _is_suffix(name, key)]
        if len(fitting) > 1:
            raise ValueError(
                f"{self.path} has {fitting[0]} and {fitting[1]}, and {key} may be either: label only the "
                "folder that is prepared"
            )
        if not fitting:
            return None
        i, j = self._rows[fitting[0]]
        file = self._files[i]
        if not file.found[j]:
            return None
        labelled = tuple(int(side) for side in file.sizes[j])
        if size is not None and labelled != tuple(size):
            raise ValueError(
                f"{key} has {size[0]}x{size[1]} pixels and had {labelled[0]}x{labelled[1]} when {self.path} "
                "was made: label the pictures that are prepared"
            )
        tasks = {name: CATALOGUE[name] for name in file.values}
        labels = {name: kind_of(task).written(task, file.values[name][j]) for name, task in tasks.items()}
        known = {task: label for task, label in labels.items() if label is not None}
        five = file.five[j]
        return TeacherFace(
            labels=known,
            confidence={task: float(file.confidence[task][j]) for task in known},
            five=None if np.isnan(five[:2]).any() else five,
        )


def complete(
    labels: Mapping[str, Any],
    *,
    key: str,
    teachers: Sequence[TeacherLabels],
    size: tuple[int, int] | None = None,
) -> CompletedLabels:
    """People's `labels` of the picture `key`, and the teachers' for all other tasks.

    Of several teachers of one task the first counts. Raises ValueError as TeacherLabels.labels does.
    """
    completed = CompletedLabels(labels=dict(labels), confidence={}, labelled_by={}, five=None)
    for teacher in teachers:
        face = teacher.labels(key, size=size)
        if face is None:
            continue
        if completed.five is None:
            completed = dataclasses.replace(completed, five=face.five)
        for task, label in face.labels.items():
            if task not in completed.labels:
                completed.labels[task] = label
                completed.confidence[task] = face.confidence[task]
                completed.labelled_by[task] = teacher.teacher
    return completed


def _is_suffix(one: str, other: str) -> bool:
    """Whether the shorter of two paths is the end of the longer, in whole parts."""
    short, long = sorted((one, other), key=len)
    return short == long or long.endswith("/" + short)
