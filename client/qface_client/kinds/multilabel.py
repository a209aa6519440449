"""multilabel: independent labels, and those that say whether points can be seen."""

import collections
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._distributions import Bar, Bars, Chart, Doubt, Tally
from .base import (
    PROBABILITY,
    Column,
    Deferred,
    Kind,
    Row,
    Tensors,
    array_schema,
    by_labels,
    named,
    no_label,
    object_schema,
    plain,
    rounded,
    rows,
    share,
    tensor,
)

if TYPE_CHECKING:
    from ..contract import TaskSpec

THRESHOLD = 0.5  # of a task whose contract does not state it
TOP_LABELS = 4  # in a full caption
NEAR = 0.1  # to a threshold: an answer that might be the other one
ENOUGH_NEAR = 0.25  # of the labels at their threshold: no answer is more in doubt
TOP_NEAR = 3  # of those that are near in a sentence
ACTIVE_SEPARATOR = "|"  # in a table: by which `column.str.get_dummies()` of pandas parts them


class MultiLabel(Mapping[str, float], Deferred):
    """Independent labels: label -> probability in [0, 1]; `active` are those that are present."""

    __slots__ = ("_active", "_probabilities")

    def __init__(self, probabilities: Mapping[str, float], *, active: Sequence[str]) -> None:
        self._probabilities = dict(probabilities)
        self._active = tuple(active)

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """What is pickled and copied: all of it, made by then."""
        return None, {"_probabilities": self._probabilities, "_active": self._active}

    @property
    def active(self) -> list[str]:
        """Labels at or above the task's threshold, in the server's order."""
        return list(self._active)

    def __getitem__(self, label: str) -> float:
        try:
            return self._probabilities[label]
        except KeyError:
            raise no_label(label, self._probabilities) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._probabilities)

    def __len__(self) -> int:
        return len(self._probabilities)

    def __repr__(self) -> str:
        active = rounded({label: self[label] for label in self._active}, digits=4)
        return f"MultiLabel({len(self._active)} of {len(self)} labels active: {active})"

    def to_dict(self) -> Any:
        return rounded(self._probabilities, digits=4)

    def chance(self, label: str) -> float | None:
        return self._probabilities.get(label)

    def cells(self, task: "TaskSpec") -> Sequence[Any]:
        return [ACTIVE_SEPARATOR.join(self._active), *(self[label] for label in task.labels)]

    def doubt(self, task: "TaskSpec") -> Doubt | None:
        """How many labels lie next to their threshold, and how near: enough of them make 1."""
        threshold = THRESHOLD if task.threshold is None else task.threshold
        nearness = {label: 1 - abs(self[label] - threshold) / NEAR for label in self}
        near = sorted((label for label in self if nearness[label] > 0), key=lambda label: -nearness[label])
        if not near:
            return None
        score = min(1.0, sum(nearness[label] for label in near) / (ENOUGH_NEAR * len(self)))
        named = ", ".join(share(label, self[label]) for label in near[:TOP_NEAR])
        which = named if len(near) <= TOP_NEAR else f"{len(near)} labels, such as {named}"
        reason = f"{plain(task.name)}: near the threshold of {threshold:.0%} lie {which}"
        return Doubt(score=score, reason=reason)

    def caption(self, name: str) -> list[Row]:
        active = sorted(self.active, key=lambda label: -self[label])
        if len(self) == 1:  # how likely it is, also where it is not
            active = list(self)
        if not active:
            return [Row(name=plain(name), text="none")]
        rows = [
            Row(name="" if index else plain(name), text=share(label, self[label]), share=self[label])
            for index, label in enumerate(active[:TOP_LABELS])
        ]
        if len(active) > TOP_LABELS:
            rows.append(Row(name="", text=f"and {len(active) - TOP_LABELS} more"))
        return rows


class Visibility(MultiLabel):
    """Points that can be seen: label -> probability that its point is visible; `active` are those that are.

    `task` is the name of the task that answers the points, `indices` has for each label, in order, the
    point's index there (None: that task has no such point). In JSON a list, in the server's order.
    """

    __slots__ = ("indices", "task")

    def __init__(
        self,
        probabilities: Mapping[str, float],
        *,
        active: Sequence[str],
        task: str,
        indices: Sequence[int | None],
    ) -> None:
        super().__init__(probabilities, active=active)
        self.task = task
        self.indices = tuple(indices)

    def __repr__(self) -> str:
        hidden = [label for label in self if label not in self._active]
        return f"Visibility({len(self._active)} of {len(self)} points can be seen, hidden: {hidden})"

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        _, state = super().__getstate__()
        return None, {**state, "task": self.task, "indices": self.indices}

    @property
    def hidden(self) -> list[int]:
        """Indices, in the task of the points, of those that can't be seen."""
        seen = set(self.active)
        return [i for label, i in zip(self, self.indices, strict=True) if label not in seen and i is not None]

    def to_dict(self) -> list[float]:
        return list(rounded(self._probabilities, digits=4).values())

    def caption(self, name: str) -> list[Row]:
        return [Row(name=plain(name), text=f"{len(self.active)} of {len(self)} points")]

    def hidden_points(self) -> tuple[str, set[int]]:
        return self.task, set(self.hidden)


class MultiLabels(Kind):
    """`T_probabilities` FP32 [N, K] and `T_active` BOOL [N, K]."""

    name = "multilabel"
    tensors = ("probabilities", "active")

    def read(self, tensors: Tensors, task: "TaskSpec", count: int) -> Sequence[MultiLabel]:
        size = len(task.labels)
        probabilities = tensor(tensors, f"{task.name}_probabilities", shape=(count, size))
        active = tensor(tensors, f"{task.name}_active", shape=(count, size))
        answers: list[MultiLabel] = []
        for row, flags in zip(rows(probabilities), rows(active), strict=True):
            makers: dict[str, Callable[[], Any]] = {
                "_probabilities": functools.partial(named, task, row),
                "_active": functools.partial(_active, task, flags),
            }
            if task.points_task is None:
                answers.append(MultiLabel.deferred(makers))
            else:
                answers.append(Visibility.deferred(makers, task=task.points_task, indices=task.points))
        return answers

    def parse(self, data: Any, task: "TaskSpec") -> MultiLabel:
        if task.points_task is not None:
            data = dict(zip(task.labels, data, strict=True))
        probabilities = by_labels(data, task)
        threshold = THRESHOLD if task.threshold is None else task.threshold
        active = [label for label, probability in probabilities.items() if probability >= threshold]
        if task.points_task is None:
            return MultiLabel(probabilities, active=active)
        return Visibility(probabilities, active=active, task=task.points_task, indices=task.points)

    def columns(self, task: "TaskSpec") -> Sequence[Column]:
        """The active labels in one text, and the probability of each label."""
        names = (f"{task.name}.{label}" for label in task.labels)
        return [
            Column(name=task.name, dtype="string"),
            *(Column(name=name, dtype="float32", digits=4) for name in names),
        ]

    def tally(self, task: "TaskSpec") -> Tally:
        """In what share of faces each label is active."""
        return _ActiveLabels(task)

    def json_schema(self, task: "TaskSpec") -> dict[str, Any]:
        if task.points_task is not None:
            return array_schema(PROBABILITY, length=len(task.labels))
        return object_schema(dict.fromkeys(task.labels, PROBABILITY))


def _active(task: "TaskSpec", flags: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(label for label, on in zip(task.labels, flags.tolist(), strict=True) if on)


class _ActiveLabels(Tally):
    """Counts the faces in which a label is active."""

    def __init__(self, task: "TaskSpec") -> None:
        self._task = task
        self._counts = collections.Counter[str]()
        self._faces = 0

    def add(self, answer: MultiLabel) -> None:
        self._counts.update(answer.active)
        self._faces += 1

    def charts(self) -> Sequence[Chart]:
        if not self._faces:
            return ()
        bars = (
            Bar(name=plain(label), count=self._counts[label], share=self._counts[label] / self._faces)
            for label in self._task.labels
        )
        of = "in which it is present" if self._task.points_task is None else "in which the point can be seen"
        return (Bars(about=f"faces {of}", bars=tuple(sorted(bars, key=lambda bar: -bar.share))),)


KIND = MultiLabels()
