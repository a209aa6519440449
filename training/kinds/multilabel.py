"""Independent labels: a probability each.

Written {"AU1": 0.0, "AU12": 1.0}, values in [0, 1]; labels left out are not known. Column and target: [K],
NaN where not known. Raw answer: logits [B, K]. A network may have learned some of the labels only, and
serves those.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from training.evaluation.scores import (
    area,
    calibration_error,
    f1_of,
    mean,
    mean_of_rows,
    ranked,
    recall_at,
)
from training.kinds.base import Kind, by_label, known_only, metric_by_label, sides_changed
from training.kinds.forms import CALIBRATION, Loss, Metric, Motion, PerFace, Rows
from training.kinds.showing import some_names
from training.task_type import Task

if TYPE_CHECKING:
    from torch import Tensor

    from training.evaluation.bootstrap import Values, Weights
    from training.evaluation.evaluated_task import EvaluatedTask

PRECISION = 0.8  # at which COFW's recall of covered points is given (Burgos-Artizzu et al. 2013)


def _known_entries(target: "Tensor") -> "Tensor":
    """How many of a face's labels are known: [B]."""
    return (~target.isnan()).flatten(1).sum(dim=1).float()


def _binary_cross_entropy(task: Task, raw: "Tensor", target: "Tensor") -> "Tensor":
    from torch.nn import functional

    losses = functional.binary_cross_entropy_with_logits(raw, target.nan_to_num(), reduction="none")
    return known_only(~target.isnan(), losses).sum(dim=1)


def _recall_of_absent(faces: PerFace, weights: "Weights") -> NDArray[np.float64]:
    """The recall of absent labels (covered points) at a precision of 80 %, all labels pooled."""
    face, label = np.nonzero(faces["known"])
    score, absent = -faces["score"][face, label], ~faces["true"][face, label]
    return recall_at(weights[:, face], score, absent, precision=PRECISION)


# Computed where a task names them (Task.metric, Task.more_metrics).
_MORE_METRICS: dict[str, Callable[[PerFace, "Weights"], NDArray[np.float64]]] = {
    "recall_at_80_precision": _recall_of_absent
}


class MultiLabel(Kind):
    """See the module."""

    name = "multilabel"
    unit = "probability"
    losses: ClassVar[dict[str, Loss]] = {
        "binary_cross_entropy": Loss(count=_known_entries, sum=_binary_cross_entropy)
    }
    metrics = (
        Metric(name="mean_accuracy"),
        Metric(name="mean_f1"),
        Metric(name="mean_auc"),
        CALIBRATION,
        *(Metric(name=name) for name in _MORE_METRICS),
        Metric(name="mean_f1_fitted"),
        Metric(name="f1_fitted"),
        Metric(name="f1"),
        Metric(name="accuracy"),
    )
    paper_metric = "mean_f1"
    has_sides = True
    partial_labels = True
    threshold = 0.5

    def column_shape(self, task: Task) -> tuple[int, ...]:
        return (len(task.labels),)

    def checked(self, task: Task, value: Any, *, picture: tuple[int, int] | None = None) -> Any:
        return by_label(task, value) or None

    def from_cell(self, task: Task, cell: Any) -> Any:
        """Of a task with one label, its number."""
        if len(task.labels) > 1 or isinstance(cell, Mapping):
            return cell
        words = {"true": "1", "yes": "1", "false": "0", "no": "0"}
        try:
            return {task.labels[0]: float(words.get(str(cell).lower(), cell))}
        except (TypeError, ValueError):
            raise ValueError(f"{task.name} is {cell!r}: write 1 or 0") from None

    def numbers(self, task: Task, label: Any) -> Rows:
        row = np.full(self.column_shape(task), np.nan, np.float32)
        for each, value in label.items():
            row[task.labels.index(each)] = value
        return row

    def written(self, task: Task, row: Rows) -> Any:
        if np.isnan(row).all():
            return None
        return {label: float(v) for label, v in zip(task.labels, row, strict=True) if not np.isnan(v)}

    def _learned(self, task: Task, column: Rows) -> NDArray[np.bool_]:
        return np.asarray((~np.isnan(column)).any(axis=0))

    def derived(self, source: Task, column: Rows, *, task: Task, label: str) -> Rows:
        """Two classes: the label is present, or absent."""
        first = column[:, source.labels.index(label)]
        return np.stack([first, 1 - first], axis=1)

    def implied(
        self, task: Task, present: NDArray[np.bool_], *, known: NDArray[np.bool_], labels: Sequence[str]
    ) -> Rows:
        """1 for all of `labels` where present, 0 where absent; nothing of the other labels."""
        rows = np.full((len(present), len(task.labels)), np.nan, np.float32)
        among = np.flatnonzero(np.isin(task.labels, labels))
        rows[np.ix_(known, among)] = present[known, None]
        return rows

    def target(
        self, task: Task, rows: Rows, *, motion: Motion, crop_size: int, margin: int, points: Rows | None
    ) -> Rows:
        """Labels that lie at a point which a patch covers become 0 (Task.aligned_labels)."""
        values = sides_changed(task, rows, motion.mirrored)
        return values if task.aligned_labels is None else _covered(task, values, motion, points)

    def physical(self, task: Task, raw: "Tensor", *, input_size: int) -> "Tensor":
        """Probabilities [B, K]."""
        return raw.sigmoid()

    def calibration(self, task: Task, logits: "Tensor", targets: "Tensor") -> "Tensor":
        """Scale and shift of each label: [K, 2]. A label without known faces keeps its logits."""
        import torch

        from training.train.platt_scaling import fit_label

        numbers = torch.tensor([[1.0, 0.0]]).repeat(len(task.labels), 1)
        for label in range(len(task.labels)):
            known = ~targets[:, label].isnan()
            if known.any():
                numbers[label] = torch.tensor(fit_label(logits[known, label], targets[known, label] >= 0.5))
        return numbers

    def unlikelihood(self, logits: "Tensor", targets: "Tensor") -> float:
        from torch.nn import functional

        known = ~targets.isnan()
        present = (targets[known] >= 0.5).to(logits.dtype)
        return float(functional.binary_cross_entropy_with_logits(logits[known], present, reduction="sum"))

    def known(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray((~np.isnan(labels)).any(axis=1))

    def constants(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> list[NDArray[Any]]:
        """How often each label occurs; and each label always, the best F1 that is reached without a look."""
        rates = mean(np.ones((1, len(labels))), labels)[0]
        return [np.nan_to_num(rates, nan=0.5), np.ones(labels.shape[1])]

    def per_face(self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
        faces: PerFace = {
            "score": answers.astype(np.float64),
            "known": ~np.isnan(labels),
            "true": np.nan_to_num(labels) >= 0.5,
            "predicted": self.answered(evaluated, answers),
        }
        if evaluated.fitted:
            faces["predicted_fitted"] = answers >= np.asarray(evaluated.fitted)
        return faces

    def answered(self, evaluated: "EvaluatedTask", answers: NDArray[Any]) -> NDArray[np.bool_]:
        """Those from the threshold on."""
        return np.asarray(answers >= evaluated.threshold)

    def values(self, evaluated: "EvaluatedTask", faces: PerFace, weights: "Weights") -> "Values":
        known, true, predicted = faces["known"], faces["true"], faces["predicted"]
        accuracy = mean(weights, np.where(known, predicted == true, np.nan))
        f1 = f1_of(weights, predicted & true & known, predicted & known, true)
        areas, gaps = [], []
        for i, rows in enumerate(known.T):
            if rows.any():
                of_label = weights[:, rows], faces["score"][rows, i], true[rows, i]
                areas.append(area(*of_label))
                gaps.append(calibration_error(*of_label))
        values = {
            "mean_accuracy": mean_of_rows(accuracy),
            "mean_f1": mean_of_rows(f1),
            "mean_auc": mean_of_rows(np.stack(areas, axis=1)),
            CALIBRATION.name: mean_of_rows(np.stack(gaps, axis=1)),
        }
        task = evaluated.task
        for name in (task.metric, *task.more_metrics):
            if name in _MORE_METRICS:
                values[name] = _MORE_METRICS[name](faces, weights)
        if "predicted_fitted" in faces:
            chosen = faces["predicted_fitted"] & known
            fitted = f1_of(weights, chosen & true, chosen, true)
            values |= {
                "mean_f1_fitted": mean_of_rows(fitted),
                **metric_by_label("f1_fitted", evaluated, fitted),
            }
        of_labels = {"mean_f1": ("f1", f1)}.get(task.metric, ("accuracy", accuracy))
        return values | metric_by_label(of_labels[0], evaluated, of_labels[1])

    def risk_and_certainty(
        self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The share of a face's known labels that is wrong; the mean probability of what was answered."""
        wrong = self.answered(evaluated, answers) != (np.nan_to_num(labels) >= 0.5)
        risk = mean_of_rows(np.where(np.isnan(labels), np.nan, wrong))
        return risk, np.maximum(answers, 1 - answers).mean(axis=1, dtype=np.float64)

    def kept(self, evaluated: "EvaluatedTask", faces: PerFace) -> NDArray[np.float64]:
        """The share of the known labels that are answered right at the threshold."""
        right = faces["predicted"] == faces["true"]
        return mean_of_rows(np.where(faces["known"], right, np.nan))

    def positives(self, faces: PerFace) -> NDArray[np.int64]:
        return np.asarray(faces["true"].sum(axis=0))

    def fitted_thresholds(self, evaluated: "EvaluatedTask", faces: PerFace) -> tuple[float, ...]:
        """For each label the threshold with the best F1 on these faces, to be used on others.

        Where no face has the label, the evaluated task's own.
        """
        weights = np.ones((1, len(faces["score"])))
        found = []
        for i, rows in enumerate(faces["known"].T):
            scores, positive = faces["score"][rows, i], faces["true"][rows, i]
            if not positive.any():
                found.append(evaluated.threshold)
                continue
            groups = [part[0, ::-1] for part in ranked(weights[:, rows], scores, positive)]
            positives, negatives = (np.cumsum(group) for group in groups)
            f1 = 2 * positives / (positives + negatives + positives[-1])
            steps = np.unique(scores)[::-1]
            best = int(f1.argmax())
            # Halfway to the next lower score: other faces don't have these very scores.
            below = steps[best + 1] if best + 1 < len(steps) else steps[best]
            found.append(float((steps[best] + below) / 2))
        return tuple(found)

    def caption(self, task: Task, row: Rows) -> str:
        """Those that are present, the likeliest first."""
        if np.isnan(row).all():
            return ""
        likely = np.argsort(-np.nan_to_num(row), kind="stable")
        return some_names([task.labels[i] for i in likely if row[i] >= 0.5]) or "none"

    def answer_shape(self, evaluated: "EvaluatedTask") -> tuple[int, ...]:
        return (len(evaluated.labels),)

    def from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        return np.array([answer[label] for label in labels], np.float32)


def _covered(task: Task, values: Rows, motion: Motion, points: Rows | None) -> Rows:
    """Labels at a covered point become 0, and those whose place nobody knows become unknown."""
    patched = ~np.isnan(motion.covered[:, 0])
    if not patched.any() or task.aligned_labels is None:
        return values
    values = values.copy()
    low, high = motion.covered[:, :2], motion.covered[:, 2:]
    for label, name in enumerate(task.labels):
        place = task.aligned_labels[name]
        if place is None or points is None:
            values[patched, label] = np.nan
            continue
        at = points[:, place].astype(np.float64) * motion.size - 0.5
        known = ~np.isnan(at).any(axis=1)
        inside = ((at >= low) & (at < high)).all(axis=1)
        labelled = ~np.isnan(values[:, label])
        values[patched & ~known, label] = np.nan
        values[patched & known & inside & labelled, label] = 0
    return values


KIND = MultiLabel()
