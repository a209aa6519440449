"""Labels that follow from others: an age says the age group, an attribute the gender."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from training.data.prepared.face_set import FaceSet
from training.tasks import CATALOGUE, Kind

_AGE, _AGE_GROUP = "age", "age_group"
_POINTS, _ROTATION = (
    next(t.name for t in CATALOGUE.values() if t.kind is k) for k in (Kind.POINTS, Kind.ROTATION)
)
_AHEAD = 20.0  # degrees of yaw and pitch, within which a face hides none of its points from the camera


def derive(faces: FaceSet, tasks: Iterable[str]) -> None:
    """Gives a set the columns of these tasks that it lacks and that follow from those it has."""
    if _AGE_GROUP in tasks and _AGE_GROUP not in faces.columns and _AGE in faces.columns:
        faces.columns[_AGE_GROUP] = age_groups(faces.columns[_AGE])
        faces.confidence[_AGE_GROUP] = faces.confidence[_AGE]
    for task in (CATALOGUE[name] for name in tasks):
        if task.told_by is None or task.name in faces.columns or task.told_by[0] not in faces.columns:
            continue
        source, label = task.told_by
        first = faces.columns[source][:, CATALOGUE[source].labels.index(label)]
        faces.columns[task.name] = np.stack([first, 1 - first], axis=1)
        faces.confidence[task.name] = faces.confidence[source]


def assume_visible(faces: FaceSet, *, confidence: float) -> None:
    """Gives a set without such labels those of a face that looks ahead: every point can be seen.

    Where a patch covers a point, training says so itself (training.data.sampling.targets); so photos, too, teach what
    renders alone would. Faces that look elsewhere, or whose landmarks nobody knows, stay unknown.
    """
    for task in CATALOGUE.values():
        if task.aligned_labels is None or task.name in faces.columns:
            continue
        if not {_POINTS, _ROTATION} <= faces.columns.keys():
            continue
        yaw, pitch = np.abs(faces.columns[_ROTATION][:, :2]).T
        ahead = (yaw < _AHEAD) & (pitch < _AHEAD) & ~np.isnan(faces.columns[_POINTS]).any(axis=(1, 2))
        column = np.full((len(faces), len(task.labels)), np.nan, np.float32)
        column[ahead] = 1
        faces.columns[task.name] = column
        faces.confidence[task.name] = np.full(len(faces), confidence, np.float32)


def age_groups(ages: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intervals of years [N, 2] -> the part of each that lies in each age group [N, 8]; NaN stays NaN.

    A bin such as 20-29 covers everybody who has not turned 30.
    """
    # Each group begins with its label's first number and ends where the next one begins.
    begins = [int(found[0]) for label in CATALOGUE[_AGE_GROUP].labels if (found := re.match(r"\d+", label))]
    edges = np.array([*begins, np.inf], np.float64)
    low, high = np.floor(np.asarray(ages, np.float64).T)[..., None]
    inside = np.minimum(high + 1, edges[1:]) - np.maximum(low, edges[:-1])
    return (np.clip(inside, 0, None) / (high + 1 - low)).astype(np.float32)
