"""A task as a network under test answers it: the contract's entry, held to the catalogue's task."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.contract import ErrorBounds, TaskEntry
from training.data.prepared.face_set import FaceSet
from training.kinds import kind_of
from training.tasks import CATALOGUE, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluatedTask:
    """A task as the network under test answers it."""

    task: Task  # of the catalogue
    labels: tuple[str, ...]  # in the answer's order; of a task of several labels maybe not all
    order: tuple[int, ...]  # for each of them its place in the catalogue
    threshold: float  # the probability from which a label counts as present
    input_size: int  # side of the crop in pixels
    fitted: tuple[float, ...] = ()  # a threshold a label, chosen on other faces; empty: none
    error: ErrorBounds | None = None  # the network also answers how far it may be off

    @property
    def error_name(self) -> str:
        """The name of the expected error among predictions."""
        return f"{self.task.name}_error"

    @property
    def metric(self) -> str:
        """The main metric of the task."""
        return self.task.metric


def evaluated_task(entry: TaskEntry, *, input_size: int) -> EvaluatedTask | None:
    """The task of a contract's entry; None for a task that the catalogue does not have.

    ValueError where its labels are not the catalogue's.
    """
    task = CATALOGUE.get(entry.name)
    if task is None:
        return None
    labels = entry.labels
    whole = kind_of(task).partial_labels or len(labels) == len(task.labels)
    if entry.kind != task.kind or not whole or not set(labels) <= set(task.labels):
        raise ValueError(
            f"task {task.name!r} is answered with other labels than training/tasks.py has: "
            "evaluate it with the code that trained it"
        )
    return EvaluatedTask(
        task=task,
        labels=labels,
        order=tuple(task.labels.index(label) for label in labels),
        threshold=0.5 if entry.threshold is None else entry.threshold,
        input_size=input_size,
        error=entry.error,
    )


def checked_predictions(
    evaluated: EvaluatedTask,
    predictions: Mapping[str, NDArray[Any]],
    *,
    faces: FaceSet,
    indices: NDArray[np.int64],
) -> NDArray[Any]:
    """The predictions for a task; ValueError where they are missing, of a wrong shape or not finite."""
    name, kind = evaluated.task.name, kind_of(evaluated.task)
    if name not in predictions:
        raise ValueError(f"the network does not answer {name}, which its contract promises: build it again")
    values = np.asarray(predictions[name])
    shape = (len(indices), *kind.answer_shape(evaluated))
    if values.shape != shape:
        raise ValueError(
            f"{name} is answered in the shape {list(values.shape)} and not {list(shape)}: build it again"
        )
    invalid = kind.invalid(evaluated, values)
    if invalid.any():
        first = int(indices[np.flatnonzero(invalid.reshape(len(indices), -1).any(axis=1))[0]])
        raise ValueError(
            f"the answer to {name} about {faces.key(first)} of {faces.name} is not finite or no class of the "
            "contract: look at the weights"
        )
    return values


def checked_errors(
    evaluated: EvaluatedTask,
    predictions: Mapping[str, NDArray[Any]],
    *,
    faces: FaceSet,
    indices: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The expected errors [N, E] of a task whose contract has them; ValueError where they can't be any."""
    name = evaluated.error_name
    if name not in predictions:
        raise ValueError(f"the network does not answer {name}, which its contract promises: build it again")
    errors = np.asarray(predictions[name], np.float64)
    if errors.ndim != 2 or len(errors) != len(indices):
        raise ValueError(
            f"{name} is answered in the shape {list(errors.shape)} about {len(indices)} faces: build it again"
        )
    wrong = ~(np.isfinite(errors) & (errors >= 0)).all(axis=1)
    if wrong.any():
        first = faces.key(int(indices[int(wrong.argmax())]))
        raise ValueError(f"{name} of {first} of {faces.name} is not finite or below 0: look at the weights")
    return errors
