"""From the answer's tensors to typed answers. Everything that the server promised is checked here."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .contract import Contract, TaskSpec
from .errors import ServerError
from .results import (
    OUTSIDE,
    Analysis,
    Answer,
    Box,
    Classification,
    Face,
    Mask,
    MultiLabel,
    Points,
    Rotation,
    Value,
    Visibility,
)

Tensors = Mapping[str, NDArray[Any]]

FACE_OUTPUTS = ("boxes", "scores", "landmarks", "photo_size")
CONTRACT_OUTPUT = "contract"


def answered_hash(tensors: Tensors) -> str:
    """The hash of the contract by which an answer was made; ServerError if it has none, or several."""
    said = {text(item) for item in tensor(tensors, CONTRACT_OUTPUT).ravel()}
    if len(said) != 1:
        raise ServerError(f"the answer names {len(said)} contracts instead of one: look at the server's log")
    return said.pop()


def read_photo(tensors: Tensors, *, tasks: Sequence[TaskSpec], contract: Contract | None) -> Analysis:
    """The faces of a photo from `boxes` [N, 4], `scores` [N], `landmarks` [N, 5, 2], `photo_size` [2]
    (width, height) and each task's tensors with N in front."""
    boxes = tensor(tensors, "boxes", shape=(None, 4))
    count = len(boxes)
    scores = tensor(tensors, "scores", shape=(count,))
    landmarks = tensor(tensors, "landmarks", shape=(count, 5, 2))
    width, height = (int(side) for side in tensor(tensors, "photo_size", shape=(2,)))
    answers = read_tasks(tensors, tasks=tasks, count=count)
    faces = [
        Face(
            box=as_box(boxes[i]),
            score=float(scores[i]),
            landmarks5=landmarks[i],
            answers=answers[i],
            contract=contract,
        )
        for i in range(count)
    ]
    return Analysis(faces, width=width, height=height, contract=contract)


def read_tasks(tensors: Tensors, *, tasks: Sequence[TaskSpec], count: int) -> list[dict[str, Answer]]:
    """For each of `count` faces, the answers by task, in the contract's order."""
    if count == 0:
        return []
    columns = {task.name: _READERS[task.kind](tensors, task, count) for task in tasks}
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def as_box(values: Sequence[float] | NDArray[Any]) -> Box:
    """Four plain floats."""
    x0, y0, x1, y1 = (float(value) for value in values)
    return x0, y0, x1, y1


def tensor(tensors: Tensors, name: str, *, shape: tuple[int | None, ...] | None = None) -> NDArray[Any]:
    """The answer's tensor of this name; ServerError if it is not there or its shape is not as promised."""
    found = tensors.get(name)
    if found is None:
        raise ServerError(f"the answer lacks {name!r}, which the server was asked for: look at its log")
    fits = shape is None or (
        len(shape) == found.ndim
        and all(want in (None, got) for want, got in zip(shape, found.shape, strict=True))
    )
    if not fits:
        promised = ", ".join("?" if side is None else str(side) for side in shape or ())
        raise ServerError(
            f"the answer's {name!r} has shape {list(found.shape)} and not [{promised}]: "
            f"the repository's parts do not belong together, build it again"
        )
    return found


def text(item: Any) -> str:
    """One element of a BYTES tensor."""
    return item.decode() if isinstance(item, bytes) else str(item)


def _classes(tensors: Tensors, task: TaskSpec, count: int) -> list[Answer]:
    size = len(task.labels)
    probabilities = tensor(tensors, f"{task.name}_probabilities", shape=(count, size))
    chosen = [text(item) for item in tensor(tensors, f"{task.name}_label", shape=(count, 1))[:, 0]]
    for label in chosen:
        if label not in task.labels:
            raise ServerError(f"{task.name} was answered {label!r}, which its contract does not have")
    return [
        Classification(label=label, probabilities=_named(task, row))
        for label, row in zip(chosen, probabilities, strict=True)
    ]


def _multilabel(tensors: Tensors, task: TaskSpec, count: int) -> list[Answer]:
    size = len(task.labels)
    probabilities = tensor(tensors, f"{task.name}_probabilities", shape=(count, size))
    active = tensor(tensors, f"{task.name}_active", shape=(count, size))
    answers: list[Answer] = []
    for row, flags in zip(probabilities, active, strict=True):
        named, on = _named(task, row), [label for label, on in zip(task.labels, flags, strict=True) if on]
        if task.points_task is None:
            answers.append(MultiLabel(named, active=on))
        else:
            answers.append(Visibility(named, active=on, task=task.points_task, indices=task.points))
    return answers


def _value(tensors: Tensors, task: TaskSpec, count: int) -> list[Answer]:
    values = tensor(tensors, f"{task.name}_value", shape=(count, 1))
    return [Value(value=float(value), unit=task.unit) for value in values[:, 0]]


def _rotation(tensors: Tensors, task: TaskSpec, count: int) -> list[Answer]:
    angles = tensor(tensors, f"{task.name}_angles", shape=(count, len(task.labels)))
    return [Rotation(angles=_named(task, row)) for row in angles]


def _points(tensors: Tensors, task: TaskSpec, count: int) -> list[Answer]:
    points = tensor(tensors, f"{task.name}_points", shape=(count, len(task.labels), 2))
    return [Points(xy=row, labels=task.labels) for row in points]


def _mask(tensors: Tensors, task: TaskSpec, count: int) -> list[Answer]:
    pictures = tensor(tensors, f"{task.name}_png", shape=(count, 1))
    maps = tensor(tensors, f"{task.name}_map", shape=(count, 2, 3))
    return [
        Mask(ids=_ids(png, task), labels=task.labels, to_photo=_invertible(to_photo, task))
        for (png,), to_photo in zip(pictures, maps, strict=True)
    ]


def _ids(png: bytes, task: TaskSpec) -> NDArray[np.uint8]:
    """Class ids [h, w] from a PNG of 8-bit grey."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            mode, ids = picture.mode, np.asarray(picture)
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        raise ServerError(
            f"the answer's {task.name}_png is no PNG that can be read ({error}): look at the server's log"
        ) from error
    if mode != "L":
        raise ServerError(f"the answer's {task.name}_png is of mode {mode} and not of 8-bit grey")
    foreign = ids[(ids >= len(task.labels)) & (ids != OUTSIDE)]
    if foreign.size:
        raise ServerError(f"{task.name} was answered class {foreign[0]}, which its contract does not have")
    return ids


def _invertible(to_photo: NDArray[np.float32], task: TaskSpec) -> NDArray[np.float32]:
    if not np.isfinite(to_photo).all() or not np.linalg.det(to_photo[:, :2].astype(np.float64)):
        raise ServerError(f"the answer's {task.name}_map {to_photo.tolist()} leads to no place in the photo")
    return to_photo


def _named(task: TaskSpec, row: NDArray[Any]) -> dict[str, float]:
    return {label: float(value) for label, value in zip(task.labels, row, strict=True)}


_READERS: dict[str, Callable[[Tensors, TaskSpec, int], list[Answer]]] = {
    "classes": _classes,
    "multilabel": _multilabel,
    "value": _value,
    "rotation": _rotation,
    "points": _points,
    "mask": _mask,
}
