"""classes: one label of several."""

import collections
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ServerError
from ._distributions import Bar, Bars, Chart, Doubt, Tally
from .base import (
    PROBABILITY,
    Column,
    Deferred,
    Kind,
    Row,
    Tensors,
    by_labels,
    named,
    object_schema,
    plain,
    rounded,
    rows,
    share,
    tensor,
    text,
)

if TYPE_CHECKING:
    from ..contract import TaskSpec


@dataclasses.dataclass(frozen=True, slots=True)
class Classification(Deferred):
    """One label of several: probabilities in [0, 1] that sum to 1."""

    label: str
    probabilities: Mapping[str, float]

    @property
    def probability(self) -> float:
        """The probability of `label`."""
        return self.probabilities[self.label]

    def __repr__(self) -> str:
        return f"Classification(label={self.label!r}, probabilities={rounded(self.probabilities, digits=4)})"

    def to_dict(self) -> dict[str, Any]:
        return {"label": self.label, "probabilities": rounded(self.probabilities, digits=4)}

    def chance(self, label: str) -> float | None:
        return self.probabilities.get(label)

    def cells(self, task: "TaskSpec") -> Sequence[Any]:
        return [self.label, self.probability, *(self.probabilities[label] for label in task.labels)]

    def caption(self, name: str) -> list[Row]:
        return [Row(name=plain(name), text=share(self.label, self.probability), share=self.probability)]

    def doubt(self, task: "TaskSpec") -> Doubt | None:
        """1 less by how much the best label is ahead of the next."""
        (first, best), *others = sorted(self.probabilities.items(), key=lambda one: -one[1])
        if not others:
            return None
        second, next_best = others[0]
        reason = f"{plain(task.name)}: {share(first, best)} or {share(second, next_best)}"
        return Doubt(score=1 - (best - next_best), reason=reason)

    def short_caption(self) -> list[Row]:
        return [Row(name="", text=share(self.label, self.probability))]


class Classes(Kind):
    """`T_probabilities` FP32 [N, K] and `T_label` BYTES [N, 1]."""

    name = "classes"
    tensors = ("probabilities", "label")

    def read(self, tensors: Tensors, task: "TaskSpec", count: int) -> Sequence[Classification]:
        size = len(task.labels)
        probabilities = tensor(tensors, f"{task.name}_probabilities", shape=(count, size))
        labels = tensor(tensors, f"{task.name}_label", shape=(count, 1), texts=True)
        chosen = [text(item) for item in labels[:, 0]]
        for label in chosen:
            if label not in task.labels:
                raise ServerError(f"{task.name} was answered {label!r}, which its contract does not have")
        return [
            Classification.deferred({"probabilities": functools.partial(named, task, row)}, label=label)
            for label, row in zip(chosen, rows(probabilities), strict=True)
        ]

    def parse(self, data: Any, task: "TaskSpec") -> Classification:
        probabilities = by_labels(data["probabilities"], task)
        if data["label"] not in probabilities:
            raise ValueError(f"{data['label']!r} is no label of it")
        return Classification(label=data["label"], probabilities=probabilities)

    def columns(self, task: "TaskSpec") -> Sequence[Column]:
        """The label, its probability, and that of each label."""
        names = (f"{task.name}_probability", *(f"{task.name}.{label}" for label in task.labels))
        return [
            Column(name=task.name, dtype="category", categories=task.labels),
            *(Column(name=name, dtype="float32", digits=4) for name in names),
        ]

    def tally(self, task: "TaskSpec") -> Tally:
        """How many faces have which label."""
        return _Labels(task)

    def json_schema(self, task: "TaskSpec") -> dict[str, Any]:
        probabilities = object_schema(dict.fromkeys(task.labels, PROBABILITY))
        return object_schema(
            {"label": {"type": "string", "enum": list(task.labels)}, "probabilities": probabilities}
        )


class _Labels(Tally):
    """Counts the chosen labels."""

    def __init__(self, task: "TaskSpec") -> None:
        self._labels = task.labels
        self._counts = collections.Counter[str]()

    def add(self, answer: Classification) -> None:
        self._counts[answer.label] += 1

    def charts(self) -> Sequence[Chart]:
        total = self._counts.total()
        if not total:
            return ()
        bars = tuple(
            Bar(name=plain(label), count=self._counts[label], share=self._counts[label] / total)
            for label in self._labels
        )
        return (Bars(about="faces whose most probable label it is", bars=bars),)


KIND = Classes()
