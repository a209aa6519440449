"""One number in the task's unit.

Written [low, high], both ends equal for an exact value. Column and target: the interval [2]. Raw answer:
[B, 1], of order one, where Task.center and Task.spread say what it stands for; or logits [B, L] over the
levels of the task, where the answer is their mean.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from training.evaluation.scores import concordance, half_kept, mean
from training.kinds.base import Kind, finite_numbers, known_only, whole_labels
from training.kinds.classes import ranges_of
from training.kinds.forms import ErrorForm, Loss, Metric, PerFace, Rows
from training.task_type import Task

_LEVEL_DEVIATION = 2.0  # of the normal distribution over levels that an exact value stands for, in levels
_LEVEL_WEIGHT = 0.3  # of a distribution's loss beside that of its mean

if TYPE_CHECKING:
    from torch import Tensor

    from training.evaluation.bootstrap import Values, Weights
    from training.evaluation.evaluated_task import EvaluatedTask


def _smooth_l1(task: Task, raw: "Tensor", target: "Tensor") -> "Tensor":
    """Smooth L1, in spreads, between a value and the nearest point of its interval (Task.label_step)."""
    import torch
    from torch.nn import functional

    low, high = target.nan_to_num().unbind(1)
    high = torch.where(high > low, high + task.label_step, high)
    value = _mean(task, raw)
    nearest = torch.maximum(torch.minimum(value, high), low).detach()
    losses = functional.smooth_l1_loss(value / task.spread, nearest / task.spread, beta=0.1, reduction="none")
    return known_only(whole_labels(target), losses)


def _mean(task: Task, raw: "Tensor") -> "Tensor":
    """The number [B] that a raw answer stands for."""
    if raw.shape[1] == 1:
        return task.center + task.spread * raw[:, 0]
    return raw.softmax(dim=1) @ _level_values(task, raw)


def _level_values(task: Task, raw: "Tensor") -> "Tensor":
    """The levels' values [L]."""
    import torch

    low, high, count = task.levels
    return torch.linspace(low, high, int(count), dtype=raw.dtype, device=raw.device)


def _label_distribution(task: Task, raw: "Tensor", target: "Tensor") -> "Tensor":
    """Gao et al. (2018): a distribution around the value is learned, and its mean (DLDL-v2).

    An exact value's is normal. An interval says that the value is in it and not where, so that its loss is
    minus the logarithm of all that lies in it. ValueError for a network without levels.
    """
    import torch

    if raw.shape[1] == 1:
        raise ValueError(f"the network answers {task.name} by a number: name it in model.distributions")
    levels = _level_values(task, raw)
    low, high = target.nan_to_num().unbind(1)
    logarithms = raw.log_softmax(dim=1)
    around = (-((levels - low[:, None]) ** 2) / (2 * _LEVEL_DEVIATION**2)).softmax(dim=1)
    of_exact = -(around * logarithms).sum(dim=1)
    inside = (levels >= low[:, None]) & (levels < high[:, None] + task.label_step)
    # Noise may move an interval beyond the levels; there its nearest one counts.
    inside |= levels == levels[(levels - low[:, None]).abs().argmin(dim=1)][:, None]
    of_interval = -logarithms.masked_fill(~inside, -torch.inf).logsumexp(dim=1)
    losses = _LEVEL_WEIGHT * torch.where(high > low, of_interval, of_exact)
    return known_only(whole_labels(target), losses) + _smooth_l1(task, raw, target)


class Value(Kind):
    """See the module."""

    name = "value"
    label_count = (1, 1)
    losses: ClassVar[dict[str, Loss]] = {
        "smooth_l1": Loss(count=whole_labels, sum=_smooth_l1),
        "label_distribution": Loss(count=whole_labels, sum=_label_distribution),
    }
    metrics = (
        Metric(name="mean_absolute_error", unit="task", is_error=True),
        Metric(name="bin_accuracy"),
        Metric(name="error_outside_bin", unit="task", is_error=True),
        Metric(name="ccc"),
        Metric(name="bias", unit="task"),  # above 0: answers are too high
    )
    paper_metric = "ccc"
    makes_groups = True

    def column_shape(self, task: Task) -> tuple[int, ...]:
        return (2,)

    def checked(self, task: Task, value: Any, *, picture: tuple[int, int] | None = None) -> Any:
        low, high = finite_numbers(task, value, count=2)
        least, most = task.limits
        if not least <= low <= high <= most:
            raise ValueError(f"{task.name} is {low:g} to {high:g} {task.unit}, out of {least:g} to {most:g}")
        return [low, high]

    def from_cell(self, task: Task, cell: Any) -> Any:
        """A number, or an interval: "20-29"."""
        if isinstance(cell, str):
            found = re.fullmatch(r"\s*(-?[\d.]+)\s*(?:(?:-|to|\.\.)\s*(-?[\d.]+))?\s*", cell)
            if found is None:
                raise ValueError(f"{task.name} is {cell!r}: write a number, or an interval as 20-29")
            return [float(found[1]), float(found[2] or found[1])]
        return [cell, cell] if isinstance(cell, int | float) else cell

    def from_numbers(self, task: Task, numbers: Mapping[str, float]) -> Any:
        return [numbers[task.labels[0]]] * 2

    def derived(self, source: Task, column: Rows, *, task: Task, label: str) -> Rows:
        """Intervals [N, 2] -> the part of each that lies in each class's range [N, K]; NaN stays NaN.

        Each class begins with its label's first number and ends where the next one begins: "20-29".
        """
        edges, step = ranges_of(task), source.label_step
        low, high = np.asarray(column, np.float64).T[..., None]
        if step:
            low, high = np.floor(low / step) * step, np.floor(high / step) * step
        width = high + step - low
        inside = np.minimum(high + step, edges[1:]) - np.maximum(low, edges[:-1])
        exact = np.where(np.isnan(low), np.nan, (low >= edges[:-1]) & (low < edges[1:]))
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = np.where(width == 0, exact, np.clip(inside, 0, None) / width)
        return parts.astype(np.float32)

    def groups(self, task: Task, column: Rows) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Each interval of the set is a group; a face whose value is known exactly is in none."""
        intervals, of = np.unique(column, axis=0, return_inverse=True)
        whole = intervals[:, 1] > intervals[:, 0]  # NaN is neither
        place = np.where(whole, np.cumsum(whole) - 1, -1)
        labels = tuple(f"{low:g}-{high:g}" for low, high in intervals[whole].tolist())
        return labels, place[of.reshape(-1)]

    def noisy(self, task: Task, target: Rows, noise: NDArray[np.float64]) -> Rows:
        return (target + task.label_noise * noise[:, :1]).astype(np.float32)

    def physical(self, task: Task, raw: "Tensor", *, input_size: int) -> "Tensor":
        """[B, 1] in the task's unit."""
        return _mean(task, raw)[:, None]

    def levels(self, task: Task) -> int:
        return int(task.levels[2]) if task.levels else 0

    def strata(self, task: Task, column: Rows) -> NDArray[np.int64]:
        """By the middle of the interval, so many strata as there are halves of a spread."""
        middle = column.mean(axis=1)
        known = ~np.isnan(middle)
        return np.where(known, np.nan_to_num(middle) // (task.spread / 2), -1).astype(np.int64)

    def error_form(self, task: Task, *, input_size: int) -> ErrorForm:
        return ErrorForm(numbers=1, unit=task.unit, typical=task.spread / 4)

    def error_ranges(
        self, task: Task, answers: NDArray[Any], targets: NDArray[Any], *, input_size: int
    ) -> NDArray[np.float64]:
        low, high, _ = _intervals(task, targets)
        return np.stack([low, high], axis=1)[:, None] - answers.astype(np.float64)[:, :, None]

    def constants(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> list[NDArray[Any]]:
        """The median; and where labels are intervals, the middle of the most frequent one."""
        low, high, binned = _intervals(evaluated.task, labels)
        middle = (low + high) / 2
        found = [np.array([np.median(middle)])]
        if binned.any():
            bins, counts = np.unique(middle[binned], return_counts=True)
            found.append(np.array([bins[counts.argmax()]]))
        return found

    def per_face(self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
        low, high, binned = _intervals(evaluated.task, labels)
        predicted = answers[:, 0].astype(np.float64)
        return {
            "predicted": predicted,
            "middle": (low + high) / 2,
            "error": np.maximum(np.maximum(low - predicted, predicted - high), 0),
            "inside": (predicted >= low) & (predicted < high),
            "binned": binned,
        }

    def values(self, evaluated: "EvaluatedTask", faces: PerFace, weights: "Weights") -> "Values":
        others = {
            "ccc": concordance(weights, faces["predicted"], faces["middle"]),
            "bias": mean(weights, faces["predicted"] - faces["middle"]),
        }
        error = mean(weights, faces["error"])
        if not faces["binned"].any():
            return {"mean_absolute_error": error, **others}
        inside = np.where(faces["binned"], faces["inside"], np.nan)
        return {"bin_accuracy": mean(weights, inside), "error_outside_bin": error, **others}

    def kept(self, evaluated: "EvaluatedTask", faces: PerFace) -> NDArray[np.float64]:
        """A half for an error of half a spread (Task.spread): ten years, of an age."""
        return half_kept(faces["error"], at=evaluated.task.spread / 2)

    def answered_column(self, evaluated: "EvaluatedTask", answers: NDArray[Any]) -> Rows:
        return np.repeat(np.asarray(answers, np.float32), 2, axis=1)  # both ends of an interval

    def caption(self, task: Task, row: Rows) -> str:
        """A number, or both ends of an interval, in the task's unit."""
        if np.isnan(row).any():
            return ""
        low, high = (f"{number:.1f}".removesuffix(".0") for number in row.tolist())
        return f"{low} {task.unit}" if low == high else f"{low}-{high} {task.unit}"

    def in_order(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> NDArray[Any]:
        return labels  # the last axis is an interval's

    def ranges_of(
        self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]
    ) -> NDArray[np.float64]:
        return self.error_ranges(evaluated.task, answers, labels, input_size=evaluated.input_size)

    def answer_shape(self, evaluated: "EvaluatedTask") -> tuple[int, ...]:
        return (1,)

    def from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        return np.array([answer.value], np.float32)

    def error_from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        return np.array([answer.error], np.float32)


def _intervals(
    task: Task, labels: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Both ends of each interval (Task.label_step), and whether it is one and no exact value."""
    low, high = labels.astype(np.float64).T
    return low, np.where(high > low, high + task.label_step, high), high > low


KIND = Value()
