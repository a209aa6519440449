"""How a face's labels are written, held to the catalogue, and laid out as numbers.

Written by the task's kind (JSON in a shard, `Sample.labels`, a teacher's labels):
  classes     "female", or {"happiness": 0.9, "neutral": 0.1}: probabilities, of labels left out 0
  multilabel  {"AU1": 0.0, "AU12": 1.0}: values in [0, 1]; labels left out are not known
  value       [low, high]; equal for an exact value
  rotation    [yaw, pitch, roll] in degrees (runtime.pose)
  points      [[x, y] or null, ...] in pixels, in catalogue order; whole numbers are pixel centres
A mask is a picture of class ids, UNKNOWN where nobody knows.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.tasks import CATALOGUE, Kind, Task

UNKNOWN = 255  # in a mask
# What a value can be at all, by its unit.
_LIMITS = {"years": (0.0, 130.0)}
# Probabilities that a teacher rounded need not sum to one exactly.
_SUM_TOLERANCE = 0.02


def column_shape(task: Task) -> tuple[int, ...]:
    """The shape of one face's numbers in a prepared set; a mask has none."""
    if task.kind is Kind.MASK:
        raise ValueError(f"task {task.name!r} has masks, which are pictures and no column")
    if task.kind is Kind.POINTS:
        return (len(task.labels), 2)
    return (2,) if task.kind is Kind.VALUE else (len(task.labels),)


def checked(name: str, value: Any, *, picture: tuple[int, int] | None = None) -> Any:
    """A label as it is written, in plain Python numbers; None where it says nothing.

    `picture` is the width and height that points belong to. Raises ValueError, without the picture's
    name, for a task or label that the catalogue does not have, a number that is not finite or out of
    range, and a wrong form.
    """
    if name not in CATALOGUE:
        raise ValueError(f"task {name!r} is not in the catalogue")
    task = CATALOGUE[name]
    try:
        if task.kind is Kind.CLASSES:
            return _classes(task, value)
        if task.kind is Kind.MULTILABEL:
            return _by_label(task, value) or None
        if task.kind is Kind.VALUE:
            return _interval(task, value)
        if task.kind is Kind.ROTATION:
            return _rotation(task, value)
        if task.kind is Kind.POINTS:
            return _points(task, value, picture=picture)
    except TypeError:
        raise ValueError(f"{name} is {value!r}, which is no label of the kind {task.kind}") from None
    raise ValueError(f"{name} is a mask, which is given as a picture and not among the labels")


def numbers(name: str, label: Any) -> NDArray[np.float32]:
    """A checked label as float32 of `column_shape`, NaN where not known; points stay in their pixels."""
    task = CATALOGUE[name]
    row = np.full(column_shape(task), np.nan, np.float32)
    if isinstance(label, str):
        row[:] = 0
        row[task.labels.index(label)] = 1
    elif isinstance(label, Mapping):
        if task.kind is Kind.CLASSES:
            row[:] = 0
        for each, value in label.items():
            row[task.labels.index(each)] = value
    elif task.kind is Kind.POINTS:
        for i, point in enumerate(label):
            if point is not None:
                row[i] = point
    else:
        row[:] = label
    return row


def checked_mask(name: str, mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Class ids [H, W] uint8; ValueError for another shape, type or an id that the catalogue lacks."""
    if name not in CATALOGUE or CATALOGUE[name].kind is not Kind.MASK:
        raise ValueError(f"task {name!r} has no masks in the catalogue")
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError(
            f"its {name} mask has shape {mask.shape} and type {mask.dtype}, not one byte a pixel"
        )
    ids = np.flatnonzero(np.bincount(mask.reshape(-1), minlength=256))
    wrong = [int(i) for i in ids if i != UNKNOWN and i >= len(CATALOGUE[name].labels)]
    if wrong:
        raise ValueError(
            f"its {name} mask has class {wrong[0]}, past the last, {len(CATALOGUE[name].labels) - 1}"
        )
    return mask


def _classes(task: Task, value: Any) -> Any:
    if isinstance(value, str):
        if value not in task.labels:
            raise ValueError(f"{task.name} is {value!r}, which the catalogue does not have")
        return value
    probabilities = _by_label(task, value)
    total = sum(probabilities.values())
    if not probabilities:
        return None
    if abs(total - 1) > _SUM_TOLERANCE:
        raise ValueError(f"{task.name} has probabilities that sum to {total:.3g}, not to 1")
    return probabilities


def _by_label(task: Task, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise TypeError
    numbers = {}
    for label, number in value.items():
        if label not in task.labels:
            raise ValueError(f"{task.name} has label {label!r}, which the catalogue does not have")
        if not 0 <= float(number) <= 1:  # nor NaN
            raise ValueError(f"{task.name} {label} is {float(number):g}, out of 0 to 1")
        numbers[label] = float(number)
    return numbers


def _interval(task: Task, value: Any) -> list[float]:
    low, high = _numbers(task, value, count=2)
    least, most = _LIMITS.get(task.unit, (-math.inf, math.inf))
    if not least <= low <= high <= most:
        raise ValueError(f"{task.name} is {low:g} to {high:g} {task.unit}, out of {least:g} to {most:g}")
    return [low, high]


def _rotation(task: Task, value: Any) -> list[float]:
    angles = _numbers(task, value, count=3)
    if max(map(abs, angles)) > 180:
        raise ValueError(f"{task.name} has an angle of {max(angles, key=abs):g} degrees, out of -180 to 180")
    return angles


def _points(task: Task, value: Any, *, picture: tuple[int, int] | None) -> list[list[float] | None] | None:
    if len(value) != len(task.labels):
        raise ValueError(f"{task.name} has {len(value)} points, not {len(task.labels)}")
    points: list[list[float] | None] = []
    for label, point in zip(task.labels, value, strict=True):
        if point is None:
            points.append(None)
            continue
        x, y = _numbers(task, point, count=2)
        # Annotators guess where a point lies that the edge cuts off; farther away it is a mistake.
        side = max(picture) if picture else math.inf
        if picture and not (-side <= x <= picture[0] + side and -side <= y <= picture[1] + side):
            raise ValueError(
                f"{task.name} {label} is ({x:g}, {y:g}), far outside the picture of {picture[0]}x{picture[1]}"
            )
        points.append([x, y])
    return points if any(point is not None for point in points) else None


def _numbers(task: Task, value: Any, *, count: int) -> list[float]:
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) or len(value) != count:
        raise TypeError
    result = [float(number) for number in value]
    if not all(map(math.isfinite, result)):
        raise ValueError(f"{task.name} is not a finite number")
    return result
