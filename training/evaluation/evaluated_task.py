"""A task as a network under test answers it: the contract's words, held to the catalogue's."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.prepared.face_set import FaceSet
from training.tasks import CATALOGUE, Kind, Task

UNKNOWN = 255  # in a mask: nobody knows what is there


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """A task as the network under test answers it."""

    task: Task  # of the catalogue
    labels: tuple[str, ...]  # in the answer's order; of a multilabel task maybe not all
    order: tuple[int, ...]  # for each of them its place in the catalogue
    threshold: float  # of a multilabel task: from here on a label is present
    input_size: int  # side of the crop in pixels
    fitted: tuple[float, ...] = ()  # a threshold a label, chosen on other faces; empty: none

    @property
    def main(self) -> str:
        """The metric that the task is judged by."""
        return self.task.metric


def question_of(entry: Mapping[str, Any], *, input_size: int) -> Question | None:
    """What a contract's entry asks; None for a task that the catalogue does not have.

    ValueError where its labels are not the catalogue's.
    """
    task = CATALOGUE.get(entry["name"])
    if task is None:
        return None
    labels = tuple(entry["labels"])
    whole = task.kind is Kind.MULTILABEL or len(labels) == len(task.labels)
    if entry["kind"] != task.kind or not whole or not set(labels) <= set(task.labels):
        raise ValueError(
            f"task {task.name!r} is answered with other labels than training/tasks.py has: "
            "evaluate it with the code that trained it"
        )
    threshold = entry.get("threshold")
    return Question(
        task=task,
        labels=labels,
        order=tuple(task.labels.index(label) for label in labels),
        threshold=0.5 if threshold is None else float(threshold),
        input_size=input_size,
    )


def in_order(question: Question, labels: NDArray[Any]) -> NDArray[Any]:
    """Labels [N, ...] in catalogue order -> in the order of the question's."""
    kind = question.task.kind
    if kind is Kind.MASK:
        place = np.full(256, UNKNOWN, np.uint8)
        place[list(question.order)] = np.arange(len(question.order))
        return np.asarray(place[labels])
    if kind is Kind.VALUE or kind is Kind.ROTATION:  # the last axis is no label's
        return labels
    return np.asarray(labels[:, list(question.order)])


def checked(
    question: Question, answered: Mapping[str, NDArray[Any]], *, faces: FaceSet, indices: NDArray[np.int64]
) -> NDArray[Any]:
    """The answers to a question; ValueError where they are missing, of a wrong shape or not finite."""
    name, count, labels = question.task.name, len(indices), len(question.labels)
    if name not in answered:
        raise ValueError(f"the network does not answer {name}, which its contract promises: build it again")
    said = np.asarray(answered[name])
    shape: tuple[int, ...] = {
        Kind.CLASSES: (count, labels),
        Kind.MULTILABEL: (count, labels),
        Kind.VALUE: (count, 1),
        Kind.ROTATION: (count, 3, 3),
        Kind.POINTS: (count, labels, 2),
        Kind.MASK: (count, question.input_size, question.input_size),
    }[question.task.kind]
    if said.shape != shape:
        raise ValueError(
            f"{name} is answered in the shape {list(said.shape)} and not {list(shape)}: build it again"
        )
    wrong = said >= labels if question.task.kind is Kind.MASK else ~np.isfinite(said)
    if wrong.any():
        first = int(indices[np.flatnonzero(wrong.reshape(count, -1).any(axis=1))[0]])
        raise ValueError(
            f"the answer to {name} about {faces.key(first)} of {faces.name} is not finite or no class of the "
            "contract: look at the weights"
        )
    return said
