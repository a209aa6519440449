"""Subgroups of a set's faces by human labels: by gender, by race, by age."""

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
class Subgrouping:
    """A split of a set's faces by the labels of one task."""

    by: str  # the task
    labels: tuple[str, ...]  # of the subgroups
    subgroup_of: NDArray[np.int64]  # [N]: each face's subgroup; -1 for none


def check_subgroup_tasks(names: Sequence[str]) -> None:
    """ValueError for a name that is no task, or a task whose labels form no subgroups."""
    possible = [task.name for task in CATALOGUE.values() if task.kind in (Kind.CLASSES, Kind.VALUE)]
    wrong = [task.name for task in select(names) if task.name not in possible]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} puts no face into a group: choose from {', '.join(possible)}")


def subgroupings(faces: FaceSet, names: Sequence[str]) -> list[Subgrouping]:
    """The subgroups of a set's faces by each of these tasks that has human labels in it.

    Those of a task of classes are its classes, those of a value the intervals that the set has. A face whose
    value is known exactly is in no interval; a task of classes such as `age_group` includes it.
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
            # An age whose bin spans two groups is in neither.
            subgroup_of = np.where(known.max(axis=1) > 0.5, known.argmax(axis=1), -1)
            found.append(Subgrouping(by=task.name, labels=task.labels, subgroup_of=subgroup_of))
    return found


def _by_interval(task: Task, column: NDArray[np.float32]) -> Subgrouping:
    intervals, inverse = np.unique(column, axis=0, return_inverse=True)
    whole = intervals[:, 1] > intervals[:, 0]  # NaN is neither
    number = np.where(whole, np.cumsum(whole) - 1, -1)
    labels = tuple(f"{low:g}-{high:g}" for low, high in intervals[whole].tolist())
    return Subgrouping(by=task.name, labels=labels, subgroup_of=number[inverse.reshape(-1)])


def _labelled_by(faces: FaceSet, task: Task) -> str:
    labelled_by = faces.manifest.get("labelled_by", {})
    # A derived label has the source of the one that it follows from.
    source = task.told_by[0] if task.told_by else _AGE
    return str(labelled_by.get(task.name, labelled_by.get(source, _HUMAN)))
