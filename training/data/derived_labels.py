"""Labels that follow from others: an age group from an age, the gender from an attribute.

And weak ones: that a smiling face looks happy, and that one looking ahead hides no point.
"""

from collections.abc import Iterable

import numpy as np

from training.data.prepared.face_set import FaceSet
from training.kinds import kind_of
from training.tasks import CATALOGUE

_AHEAD = 20.0  # degrees of yaw and pitch, within which a face hides none of its points from the camera


def derive(faces: FaceSet, tasks: Iterable[str]) -> None:
    """Gives a set the columns of these tasks that it lacks and that follow from those it has."""
    for task in (CATALOGUE[name] for name in tasks):
        if task.derived_from is None or task.name in faces.columns:
            continue
        source, label = task.derived_from
        if source not in faces.columns:
            continue
        of_source = CATALOGUE[source]
        faces.columns[task.name] = kind_of(of_source).derived(
            of_source, faces.columns[source], task=task, label=label
        )
        faces.confidence[task.name] = faces.confidence[source]


def imply(faces: FaceSet, tasks: Iterable[str], *, confidence: float) -> None:
    """Gives a set's faces the weak labels of these tasks (Task.implied_by), where nothing is known yet."""
    for task in (CATALOGUE[name] for name in tasks):
        implied = [i for i in task.implied_by if i.task in faces.columns and i.task in CATALOGUE]
        if not implied:
            continue
        kind = kind_of(task)
        column = np.full((len(faces), *kind.column_shape(task)), np.nan, np.float32)
        for implication in implied:
            place = CATALOGUE[implication.task].labels.index(implication.label)
            source = faces.columns[implication.task][:, place]
            rows = kind.implied(
                task, np.nan_to_num(source) >= 0.5, known=~np.isnan(source), labels=implication.labels
            )
            column = np.where(np.isnan(column), rows, column)
        fresh = ~np.isnan(column)
        weight = np.full(len(faces), confidence, np.float32)
        if task.name in faces.columns:
            own = faces.columns[task.name]
            # A face's confidence is one number: where it has labels, their confidence stays.
            labelled = ~np.isnan(own).reshape(len(own), -1).all(axis=1)
            column = np.where(np.isnan(own), column, own)
            weight = np.where(labelled, faces.confidence[task.name], weight)
        if fresh.any():
            faces.columns[task.name], faces.confidence[task.name] = column, weight


def assume_visible(faces: FaceSet, *, confidence: float) -> None:
    """Gives a set without such labels those of a face that looks ahead: every point can be seen.

    Where a patch covers a point, training hides it (training.kinds.multilabel); so photos, too, teach what
    renders alone would. Faces that look elsewhere, or whose points nobody knows, stay unknown.
    """
    for task in CATALOGUE.values():
        if not task.frontal_by or task.name in faces.columns:
            continue
        if not {task.aligned_to, task.frontal_by} <= faces.columns.keys():
            continue
        yaw, pitch = np.abs(faces.columns[task.frontal_by][:, :2]).T
        points = faces.columns[task.aligned_to]
        ahead = (yaw < _AHEAD) & (pitch < _AHEAD) & ~np.isnan(points).any(axis=(1, 2))
        column = np.full((len(faces), len(task.labels)), np.nan, np.float32)
        column[ahead] = 1
        faces.columns[task.name] = column
        faces.confidence[task.name] = np.full(len(faces), confidence, np.float32)
