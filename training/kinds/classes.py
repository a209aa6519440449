"""One of several labels: probabilities that sum to 1.

Written "female", or {"happiness": 0.9, "neutral": 0.1}, where labels left out are 0. Column and target:
probabilities [K]; of a weak label ("one of these", which only training makes) 1 for each of these. Raw
answer: logits [B, K].
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from training.evaluation.scores import calibration_error, f1_of, mean, mean_of_rows, ratio
from training.kinds.base import Kind, by_label, known_only, metric_by_label, sides_changed, whole_labels
from training.kinds.forms import CALIBRATION, Loss, Metric, Motion, PerFace, Rows
from training.kinds.showing import some_names
from training.task_type import Task

if TYPE_CHECKING:
    from torch import Tensor

    from training.evaluation.bootstrap import Values, Weights
    from training.evaluation.evaluated_task import EvaluatedTask

# Probabilities that a teacher rounded need not sum to one exactly.
_SUM_TOLERANCE = 0.02


def _cross_entropy(task: Task, raw: "Tensor", target: "Tensor") -> "Tensor":
    """Of a weak label (`Classes.implied`): minus the logarithm of what all its classes have together."""
    target, labelled = target.nan_to_num(), whole_labels(target)
    logarithms = raw.log_softmax(dim=1)
    losses = -(target * logarithms).sum(dim=1)
    weak = target.sum(dim=1) > 1 + _SUM_TOLERANCE
    of_several = -logarithms.masked_fill((target == 0) & weak[:, None], -math.inf).logsumexp(dim=1)
    return known_only(labelled, losses.where(~weak, of_several))


class Classes(Kind):
    """See the module."""

    name = "classes"
    unit = "probability"
    label_count = (2, math.inf)
    losses: ClassVar[dict[str, Loss]] = {"cross_entropy": Loss(count=whole_labels, sum=_cross_entropy)}
    metrics = (
        Metric(name="top1_accuracy"),
        Metric(name="mean_class_accuracy"),
        Metric(name="macro_f1"),
        CALIBRATION,
        Metric(name="f1"),
        Metric(name="recall"),
    )
    paper_metric = "macro_f1"
    has_sides = True
    exclusive = True
    makes_groups = True

    def column_shape(self, task: Task) -> tuple[int, ...]:
        return (len(task.labels),)

    def checked(self, task: Task, value: Any, *, picture: tuple[int, int] | None = None) -> Any:
        if isinstance(value, str):
            if value not in task.labels:
                raise ValueError(f"{task.name} is {value!r}, which the catalogue does not have")
            return value
        probabilities = by_label(task, value)
        total = sum(probabilities.values())
        if not probabilities:
            return None
        if abs(total - 1) > _SUM_TOLERANCE:
            raise ValueError(f"{task.name} has probabilities that sum to {total:.3g}, not to 1")
        return probabilities

    def from_cell(self, task: Task, cell: Any) -> Any:
        if isinstance(cell, Mapping):
            return cell
        text = str(cell)
        found = [label for label in task.labels if label == text] or [
            label for label in task.labels if label.lower() == text.lower()
        ]
        if len(found) != 1:
            raise ValueError(f"{task.name} is {text!r}: it is one of {', '.join(task.labels)}")
        return found[0]

    def from_numbers(self, task: Task, numbers: Mapping[str, float]) -> Any:
        """Votes or probabilities."""
        total = sum(numbers.values())
        if total <= 0 or min(numbers.values()) < 0:
            return None
        return {label: number / total for label, number in numbers.items()}

    def numbers(self, task: Task, label: Any) -> Rows:
        row = np.zeros(self.column_shape(task), np.float32)
        for each, value in label.items() if isinstance(label, Mapping) else ((label, 1),):
            row[task.labels.index(each)] = value
        return row

    def written(self, task: Task, row: Rows) -> Any:
        if np.isnan(row).all():
            return None
        return {label: float(v) for label, v in zip(task.labels, row, strict=True) if not np.isnan(v)}

    def _learned(self, task: Task, column: Rows) -> NDArray[np.bool_]:
        return np.asarray((np.nan_to_num(column) > 0).any(axis=0))

    def implied(
        self, task: Task, present: NDArray[np.bool_], *, known: NDArray[np.bool_], labels: Sequence[str]
    ) -> Rows:
        """One of `labels` where present, one of the others where absent: a 1 for each of them."""
        among = np.isin(task.labels, labels)
        rows = np.where(present[:, None], among, ~among).astype(np.float32)
        rows[~known] = np.nan
        return rows

    def groups(self, task: Task, column: Rows) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Each class is a group; a face that only leans to a class is in none."""
        known = np.nan_to_num(column)
        return task.labels, np.where(known.max(axis=1) > 0.5, known.argmax(axis=1), -1)

    def target(
        self, task: Task, rows: Rows, *, motion: Motion, crop_size: int, margin: int, points: Rows | None
    ) -> Rows:
        return sides_changed(task, rows, motion.mirrored)

    def physical(self, task: Task, raw: "Tensor", *, input_size: int) -> "Tensor":
        """Probabilities [B, K]."""
        return raw.softmax(dim=-1)

    def calibration(self, task: Task, logits: "Tensor", targets: "Tensor") -> "Tensor":
        """One temperature for all labels: [1, 2]."""
        import torch

        from training.train.platt_scaling import fit_classes

        return torch.tensor([[fit_classes(logits, targets), 0.0]])

    def unlikelihood(self, logits: "Tensor", targets: "Tensor") -> float:
        return -float((targets * logits.log_softmax(dim=1)).sum())

    def constants(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> list[NDArray[Any]]:
        """How often each label occurs."""
        return [labels.mean(axis=0)]

    def per_face(self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
        return {
            "predicted": self.answered(evaluated, answers),
            "true": self.answered(evaluated, labels),
            "confidence": answers.max(axis=1).astype(np.float64),
        }

    def answered(self, evaluated: "EvaluatedTask", answers: NDArray[Any]) -> NDArray[np.bool_]:
        """The likeliest class alone."""
        return np.asarray(answers.argmax(axis=1)[:, None] == np.arange(len(evaluated.labels)))

    def values(self, evaluated: "EvaluatedTask", faces: PerFace, weights: "Weights") -> "Values":
        both = faces["predicted"] & faces["true"]
        f1 = f1_of(weights, both, faces["predicted"], faces["true"])
        recall = ratio(weights @ both.astype(np.float64), weights @ faces["true"].astype(np.float64))
        right = both.any(axis=1)
        return {
            "top1_accuracy": mean(weights, right.astype(np.float64)),
            "mean_class_accuracy": mean_of_rows(recall),
            "macro_f1": mean_of_rows(f1),
            CALIBRATION.name: calibration_error(weights, faces["confidence"], right),
            **metric_by_label("f1", evaluated, f1),
            **metric_by_label("recall", evaluated, recall),
        }

    def risk_and_certainty(
        self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Whether the likeliest class is wrong, and its probability."""
        wrong = answers.argmax(axis=1) != labels.argmax(axis=1)
        return wrong.astype(np.float64), answers.max(axis=1).astype(np.float64)

    def kept(self, evaluated: "EvaluatedTask", faces: PerFace) -> NDArray[np.float64]:
        """1 where the likeliest class is the labelled one, else 0."""
        return np.asarray((faces["predicted"] & faces["true"]).any(axis=1), np.float64)

    def positives(self, faces: PerFace) -> NDArray[np.int64]:
        return np.asarray(faces["true"].sum(axis=0))

    def caption(self, task: Task, row: Rows) -> str:
        """The likeliest class; of a weak label all that it may be."""
        if np.isnan(row).any():
            return ""
        if row.sum() > 1 + _SUM_TOLERANCE:
            return some_names([label for label, value in zip(task.labels, row, strict=True) if value > 0])
        first = int(row.argmax())
        return task.labels[first] + (f" {row[first]:.0%}" if row[first] < 1 - _SUM_TOLERANCE else "")

    def answer_shape(self, evaluated: "EvaluatedTask") -> tuple[int, ...]:
        return (len(evaluated.labels),)

    def from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        return np.array([answer.probabilities[label] for label in labels], np.float32)


def ranges_of(task: Task) -> NDArray[np.float64]:
    """Where the classes of a task begin whose labels name ranges ("20-29", "70+"): [K + 1], infinity last."""
    begins = [int(found[0]) for label in task.labels if (found := re.match(r"\d+", label))]
    return np.array([*begins, np.inf], np.float64)


KIND = Classes()
