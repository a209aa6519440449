"""multilabel: independent labels, and those that say whether points can be seen."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .base import (
    PROBABILITY,
    Answer,
    Kind,
    Row,
    Tensors,
    array_schema,
    named,
    object_schema,
    plain,
    rounded,
    share,
    tensor,
)

if TYPE_CHECKING:
    from ..contract import TaskSpec

TOP_LABELS = 4  # in a full caption


class MultiLabel(Mapping[str, float], Answer):
    """Independent labels: label -> probability in [0, 1]; `active` are those that are present."""

    __slots__ = ("_active", "_probabilities")

    def __init__(self, probabilities: Mapping[str, float], *, active: Sequence[str]) -> None:
        self._probabilities = dict(probabilities)
        self._active = tuple(active)

    @property
    def active(self) -> list[str]:
        """Labels at or above the task's threshold, in the server's order."""
        return list(self._active)

    def __getitem__(self, label: str) -> float:
        return self._probabilities[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self._probabilities)

    def __len__(self) -> int:
        return len(self._probabilities)

    def __repr__(self) -> str:
        return f"MultiLabel({self._probabilities}, active={self.active})"

    def to_json(self) -> Any:
        return rounded(self, digits=4)

    def caption(self, name: str) -> list[Row]:
        active = sorted(self.active, key=lambda label: -self[label])
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

    @property
    def hidden(self) -> list[int]:
        """Indices, in the task of the points, of those that can't be seen."""
        seen = set(self.active)
        return [i for label, i in zip(self, self.indices, strict=True) if label not in seen and i is not None]

    def to_json(self) -> list[float]:
        return list(rounded(self, digits=4).values())

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
        for row, flags in zip(probabilities, active, strict=True):
            probability = named(task, row)
            active_labels = [label for label, on in zip(task.labels, flags, strict=True) if on]
            if task.points_task is None:
                answers.append(MultiLabel(probability, active=active_labels))
            else:
                answers.append(
                    Visibility(probability, active=active_labels, task=task.points_task, indices=task.points)
                )
        return answers

    def json_schema(self, task: "TaskSpec") -> dict[str, Any]:
        if task.points_task is not None:
            return array_schema(PROBABILITY, length=len(task.labels))
        return object_schema(dict.fromkeys(task.labels, PROBABILITY))


KIND = MultiLabels()
