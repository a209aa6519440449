"""How a face's labels are written, held to the catalogue, and laid out as numbers.

Written by the task's kind (JSON in a shard, `Sample.labels`, a teacher's labels):
  classes     "female", or {"happiness": 0.9, "neutral": 0.1}: probabilities, of labels left out 0
  multilabel  {"AU1": 0.0, "AU12": 1.0}: values in [0, 1]; labels left out are not known
  value       [low, high]; equal for an exact value
  rotation    [yaw, pitch, roll] in degrees (runtime.pose)
  points      [[x, y] or null, ...] in pixels, in catalogue order; whole numbers are pixel centres
A mask is a picture of class ids, UNKNOWN where nobody knows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.kinds import kind_of, mask
from training.kinds.mask import UNKNOWN as UNKNOWN
from training.tasks import CATALOGUE, Task

HUMAN = "human"  # who labelled a task, in a manifest; else a teacher's name


def column_shape(task: Task) -> tuple[int, ...]:
    """The shape of one face's numbers in a prepared set; ValueError for a mask, which has none."""
    return kind_of(task).column_shape(task)


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
        return kind_of(task).checked(task, value, picture=picture)
    except TypeError:
        raise ValueError(f"{name} is {value!r}, which is no label of the kind {task.kind}") from None


def numbers(name: str, label: Any) -> NDArray[np.float32]:
    """A checked label as float32 of `column_shape`, NaN where not known; points stay in their pixels."""
    task = CATALOGUE[name]
    return kind_of(task).numbers(task, label)


def checked_mask(name: str, ids: NDArray[Any]) -> NDArray[np.uint8]:
    """Class ids [H, W] uint8; ValueError for another shape, type or an id that the catalogue lacks."""
    if name not in CATALOGUE or not kind_of(CATALOGUE[name]).needs_places:
        raise ValueError(f"task {name!r} has no masks in the catalogue")
    return mask.checked_mask(CATALOGUE[name], ids)
