"""Subgroups of a set's faces by human labels: by gender, by race, by age."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.derived_labels import derive
from training.data.labels import HUMAN
from training.data.prepared.face_set import FaceSet
from training.kinds import kind_of
from training.tasks import CATALOGUE, Task, select


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subgrouping:
    """A split of a set's faces by the labels of one task."""

    by: str  # the task
    labels: tuple[str, ...]  # of the subgroups
    subgroup_of: NDArray[np.int64]  # [N]: each face's subgroup; -1 for none


def check_subgroup_tasks(names: Sequence[str]) -> None:
    """ValueError for a name that is no task, or a task whose labels form no subgroups."""
    possible = [task.name for task in CATALOGUE.values() if kind_of(task).makes_groups]
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
        if column is None or _labelled_by(faces, task) != HUMAN:
            continue
        groups = kind_of(task).groups(task, column)
        if groups is not None:
            found.append(Subgrouping(by=task.name, labels=groups[0], subgroup_of=groups[1]))
    return found


def _labelled_by(faces: FaceSet, task: Task) -> str:
    labelled_by = faces.manifest.get("labelled_by", {})
    # A derived label has the source of the one that it follows from.
    source = task.derived_from[0] if task.derived_from else ""
    return str(labelled_by.get(task.name, labelled_by.get(source, HUMAN)))
