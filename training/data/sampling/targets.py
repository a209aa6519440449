"""Labels of drawn faces as the losses want them: moved as their pictures were, with the paper's noise."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from runtime.pose import rotate_in_plane, rotation_from_angles
from training.tasks import CATALOGUE, Kind, Task
from training.train.losses import AGE_NOISE, ROTATION_NOISE

# A mirrored picture mirrors the rotation that it shows.
_MIRROR = np.diag([-1.0, 1.0, 1.0])
# The task whose points say where the labels of others lie (Task.aligned_labels).
POINTS_TASK = next(task.name for task in CATALOGUE.values() if task.kind is Kind.POINTS)

Array = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion:
    """How pictures came from the stored crops to the network's: mirrored first, then turned and moved."""

    matrix: NDArray[np.float64]  # [B, 2, 3], from pixels of the stored crop to those of the network's
    mirrored: NDArray[np.bool_]  # [B]
    turned: NDArray[np.float64]  # [B], degrees clockwise
    covered: NDArray[np.float64]  # [B, 4], a covered patch x0, y0, x1, y1 in the network's crop; NaN: none


def moved(
    task: Task, rows: Array, *, motion: Motion, crop_size: int, margin: int, size: int, points: Array | None
) -> Array:
    """A column's rows (FaceSet.columns) of one set as targets (see training.train.losses.loss_sum).

    `crop_size` and `margin` are the stored crops', `size` is the network's. `points` are the same faces'
    moved landmarks, where the set has them: labels that lie at a point which a patch covers become 0.
    """
    match task.kind:
        case Kind.CLASSES | Kind.VALUE:
            return rows
        case Kind.ROTATION:
            rotation = rotation_from_angles(rows)
            rotation = np.where(motion.mirrored[:, None, None], _MIRROR @ rotation @ _MIRROR, rotation)
            return rotate_in_plane(rotation, motion.turned).astype(np.float32)
        case Kind.POINTS:
            return _sides(task, _moved_points(rows, motion, crop_size, margin, size), motion.mirrored)
        case Kind.MULTILABEL:
            values = _sides(task, rows, motion.mirrored)
            return values if task.aligned_labels is None else _hidden(task, values, motion, size, points)
    raise ValueError(f"task {task.name!r}: a {task.kind} is no column")


def mirrored_mask(task: Task, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class ids of a mask whose picture was mirrored: sides change their names."""
    table = np.arange(256, dtype=np.uint8)
    table[: len(task.labels)] = task.mirrored_order()
    return np.asarray(table[mask])


def noisy(
    targets: Mapping[str, Array], *, age: NDArray[np.float64], rotation: NDArray[np.float64]
) -> dict[str, Array]:
    """Targets by task with the paper's noise (sections 4.5 and 4.6), in training only.

    `age` [B] and `rotation` [B, 3, 3] are of standard normal distribution, drawn by the caller.
    """
    noised = dict(targets)
    for name, target in targets.items():
        kind = CATALOGUE[name].kind
        if kind is Kind.VALUE:
            noised[name] = (target + AGE_NOISE * age[:, None]).astype(np.float32)
        elif kind is Kind.ROTATION:
            noised[name] = (target + ROTATION_NOISE * rotation).astype(np.float32)
    return noised


def _sides(task: Task, values: Array, mirrored: NDArray[np.bool_]) -> Array:
    """Left and right change places in mirrored rows [B, K, ...]."""
    if not task.mirror:
        return values
    which = mirrored.reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(np.where(which, values[:, task.mirrored_order()], values), np.float32)


def _moved_points(rows: Array, motion: Motion, crop_size: int, margin: int, size: int) -> Array:
    """Points [B, K, 2] in sides of the served crop, from before the motion to after it."""
    stored = rows.astype(np.float64) * crop_size - 0.5 + margin
    linear, shift = motion.matrix[:, :, :2], motion.matrix[:, :, 2]
    pixels = stored @ linear.transpose(0, 2, 1) + shift[:, None]
    return ((pixels + 0.5) / size).astype(np.float32)


def _hidden(task: Task, values: Array, motion: Motion, size: int, points: Array | None) -> Array:
    """Labels at a covered point become 0, and those whose place nobody knows become unknown."""
    patched = ~np.isnan(motion.covered[:, 0])
    if not patched.any() or task.aligned_labels is None:
        return values
    values = values.copy()
    low, high = motion.covered[:, :2], motion.covered[:, 2:]
    for label, place in enumerate(task.aligned_labels.values()):
        if place is None or points is None:
            values[patched, label] = np.nan
            continue
        at = points[:, place].astype(np.float64) * size - 0.5
        known = ~np.isnan(at).any(axis=1)
        inside = ((at >= low) & (at < high)).all(axis=1)
        here = ~np.isnan(values[:, label])
        values[patched & ~known, label] = np.nan
        values[patched & known & inside & here, label] = 0
    return values
