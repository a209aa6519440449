"""Faces of a set put into groups by what people said of them: by gender, by race, by age."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.derived_labels import derive
from training.data.prepared.face_set import FaceSet
from training.tasks import CATALOGUE, Kind, Task, select

_HUMAN = "human"  # who labelled a task, in a manifest
_AGE = "age"  # what an age group follows from (training.data.derived_labels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grouping:
    """One way to tell a set's faces apart."""

    by: str  # the task whose labels do it
    labels: tuple[str, ...]  # of its groups
    of: NDArray[np.int64]  # [N]: each face's group; -1 where nobody says


def check_groups(names: Sequence[str]) -> None:
    """ValueError for a name that is no task, or a task whose labels put no face into a group."""
    possible = [task.name for task in CATALOGUE.values() if task.kind in (Kind.CLASSES, Kind.VALUE)]
    wrong = [task.name for task in select(names) if task.name not in possible]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} puts no face into a group: choose from {', '.join(possible)}")


def groupings(faces: FaceSet, names: Sequence[str]) -> list[Grouping]:
    """The groups of a set's faces by each of these tasks that people labelled in it.

    Of a task of classes they are its classes, of a value the intervals that the set has (a face whose value
    is known exactly is in none: a task of classes such as `age_group` takes those too).
    """
    derive(faces, names)
    found = []
    for task in (CATALOGUE[name] for name in names):
        column = faces.columns.get(task.name)
        if column is None or _labelled_by(faces, task) != _HUMAN:
            continue
        if task.kind is Kind.VALUE:
            found.append(_by_interval(task, column))
        else:
            known = np.nan_to_num(column)
            # What only leans to a class (an age whose bin reaches over two groups) is in none.
            of = np.where(known.max(axis=1) > 0.5, known.argmax(axis=1), -1)
            found.append(Grouping(by=task.name, labels=task.labels, of=of))
    return found


def _by_interval(task: Task, column: NDArray[np.float32]) -> Grouping:
    intervals, of = np.unique(column, axis=0, return_inverse=True)
    whole = intervals[:, 1] > intervals[:, 0]  # NaN is neither
    place = np.where(whole, np.cumsum(whole) - 1, -1)
    labels = tuple(f"{low:g}-{high:g}" for low, high in intervals[whole].tolist())
    return Grouping(by=task.name, labels=labels, of=place[of.reshape(-1)])


def _labelled_by(faces: FaceSet, task: Task) -> str:
    who = faces.manifest.get("labelled_by", {})
    # A derived label is as good as the one that it follows from.
    source = task.told_by[0] if task.told_by else _AGE
    return str(who.get(task.name, who.get(source, _HUMAN)))
