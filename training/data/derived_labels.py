"""Labels that follow from others: an age group from an age, the gender from an attribute."""

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
