"""Points of the face.

Written [[x, y] or null, ...] in pixels, in the catalogue's order; whole numbers are pixel centres. Column
and target: [K, 2] in sides of the served crop, 0 to 1 from edge to edge, NaN where not known. Raw answer:
[B, K, 2] in the same unit.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.image.align import transform
from training.evaluation.scores import half_kept, mean, mean_of_rows, ratio
from training.kinds.base import Kind, finite_numbers, known_only, sides_changed
from training.kinds.forms import ErrorForm, Loss, Metric, Motion, PerFace, QueryAnswer, Rows
from training.kinds.showing import Picture
from training.task_type import Task

if TYPE_CHECKING:
    from torch import Tensor

    from training.evaluation.bootstrap import Values, Weights
    from training.evaluation.evaluated_task import EvaluatedTask

# Wing's (Feng et al. 2018), in hundredths of the crop's side: where its curve turns into a line, and how
# sharp it is at 0.
WING_WIDTH = 10.0
WING_SHARPNESS = 2.0
TYPICAL_DISTANCE = 0.02  # of a point from the truth, in sides of the crop
NME_LIMIT = 0.08  # of AUC and failure rate: 300-W's protocol
_DOT = (60, 255, 60)
_HALF_KEPT = 0.1  # of the distance that errors are divided by


def _known_points(target: "Tensor") -> "Tensor":
    """How many of a face's points are known: [B]."""
    return (~target.isnan().any(dim=2)).sum(dim=1).float()


def _wing(task: Task, raw: "Tensor", target: "Tensor") -> "Tensor":
    """The mean of both coordinates' wing loss over its width: about 1 for a tenth of the crop's side."""
    apart = (raw - target.nan_to_num()).abs() * 100
    near = WING_WIDTH * (apart / WING_SHARPNESS).log1p()
    far = apart - WING_WIDTH + WING_WIDTH * math.log1p(WING_WIDTH / WING_SHARPNESS)
    losses = near.where(apart < WING_WIDTH, far).mean(dim=2) / WING_WIDTH
    return known_only(~target.isnan().any(dim=2), losses).sum(dim=1)


class Points(Kind):
    """See the module."""

    name = "points"
    has_sides = True
    unit = "pixels"
    losses: ClassVar[dict[str, Loss]] = {"wing": Loss(count=_known_points, sum=_wing)}
    metrics = (
        Metric(name="normalized_mean_error", is_error=True, engine_tolerance=0.002),
        Metric(name="auc_at_0.08"),
        Metric(name="failure_rate", is_error=True),
        Metric(name="box_normalized_error", is_error=True, engine_tolerance=0.002),
    )
    query_answer = QueryAnswer.POINT

    def column_shape(self, task: Task) -> tuple[int, ...]:
        return (len(task.labels), 2)

    def checked(self, task: Task, value: Any, *, picture: tuple[int, int] | None = None) -> Any:
        if len(value) != len(task.labels):
            raise ValueError(f"{task.name} has {len(value)} points, not {len(task.labels)}")
        points: list[list[float] | None] = []
        for label, point in zip(task.labels, value, strict=True):
            if point is None:
                points.append(None)
                continue
            x, y = finite_numbers(task, point, count=2)
            # Annotators guess where a point lies that the edge cuts off; farther away it is a mistake.
            side = max(picture) if picture else math.inf
            if picture and not (-side <= x <= picture[0] + side and -side <= y <= picture[1] + side):
                raise ValueError(
                    f"{task.name} {label} is ({x:g}, {y:g}), far outside the picture of "
                    f"{picture[0]}x{picture[1]}"
                )
            points.append([x, y])
        return points if any(point is not None for point in points) else None

    def numbers(self, task: Task, label: Any) -> Rows:
        row = np.full(self.column_shape(task), np.nan, np.float32)
        for i, point in enumerate(label):
            if point is not None:
                row[i] = point
        return row

    def written(self, task: Task, row: Rows) -> Any:
        if np.isnan(row).all():
            return None
        return [None if np.isnan(point).any() else [float(v) for v in point] for point in row]

    def in_crop(self, task: Task, label: Any, forward: NDArray[Any]) -> Any:
        return [
            None if point is None else [round(float(v), 3) for v in transform(point, forward)]
            for point in label
        ]

    def stored(self, row: Rows, *, margin: int, size: int) -> Rows:
        return (row - margin + 0.5) / size

    def _learned(self, task: Task, column: Rows) -> NDArray[np.bool_]:
        return np.asarray((~np.isnan(column)).all(axis=2).any(axis=0))

    def target(
        self, task: Task, rows: Rows, *, motion: Motion, crop_size: int, margin: int, points: Rows | None
    ) -> Rows:
        stored = rows.astype(np.float64) * crop_size - 0.5 + margin
        linear, shift = motion.matrix[:, :, :2], motion.matrix[:, :, 2]
        pixels = stored @ linear.transpose(0, 2, 1) + shift[:, None]
        moved = ((pixels + 0.5) / motion.size).astype(np.float32)
        return sides_changed(task, moved, motion.mirrored)

    def physical(self, task: Task, raw: "Tensor", *, input_size: int) -> "Tensor":
        """x, y [B, K, 2] in the crop's pixels, where whole numbers are pixels' centres."""
        return raw * input_size - 0.5

    def pooled_numbers(self, task: Task) -> int:
        return 2 * task.queries

    def from_pooled(self, numbers: "Tensor") -> "Tensor":
        import torch

        # Points begin around the middle of the crop, not all over it.
        return 0.5 + 0.1 * torch.unflatten(numbers, 1, (-1, 2))

    def known(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray((~np.isnan(labels)).reshape(len(labels), -1).any(axis=1))

    def error_form(self, task: Task, *, input_size: int) -> ErrorForm:
        return ErrorForm(numbers=len(task.labels), unit=task.unit, typical=TYPICAL_DISTANCE * input_size)

    def error_ranges(
        self, task: Task, answers: NDArray[Any], targets: NDArray[Any], *, input_size: int
    ) -> NDArray[np.float64]:
        """The distance of each point, in the crop's pixels."""
        apart = np.linalg.norm(answers - (targets.astype(np.float64) * input_size - 0.5), axis=2)
        return np.stack([apart, apart], axis=2)

    def constants(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> list[NDArray[Any]]:
        """Each point where it lies in half of the faces; one that no face has, in the middle."""
        seen = ~np.isnan(labels).all(axis=0)
        median = np.nanmedian(np.where(seen, labels, 0.5), axis=0)
        return [median * evaluated.input_size - 0.5]

    def per_face(self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
        true = labels * evaluated.input_size - 0.5  # from parts of the crop to pixels
        errors = self.ranges_of(evaluated, answers, labels)[..., 0]
        error, known = mean_of_rows(errors), ~np.isnan(errors)[..., None]
        least, most = np.where(known, true, np.inf).min(axis=1), np.where(known, true, -np.inf).max(axis=1)
        by_box = ratio(error, np.sqrt(np.prod(most - least, axis=1)))
        by_reference = by_box
        if evaluated.task.error_reference is not None:
            one, other = (true[:, evaluated.labels.index(i)] for i in evaluated.task.error_reference)
            by_reference = ratio(error, np.nan_to_num(np.linalg.norm(one - other, axis=1)))
        return {"by_box": by_box, "by_reference": by_reference}

    def values(self, evaluated: "EvaluatedTask", faces: PerFace, weights: "Weights") -> "Values":
        """The mean error over the task's reference (Task.error_reference), and over the box."""
        errors = faces["by_reference"]
        # The area under the curve of errors up to the limit, in parts of the limit, is a mean over faces.
        under = np.where(np.isnan(errors), np.nan, np.maximum(1 - errors / NME_LIMIT, 0))
        failed = np.where(np.isnan(errors), np.nan, errors > NME_LIMIT)
        return {
            "normalized_mean_error": mean(weights, errors),
            "auc_at_0.08": mean(weights, under),
            "failure_rate": mean(weights, failed),
            "box_normalized_error": mean(weights, faces["by_box"]),
        }

    def ranges_of(
        self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]
    ) -> NDArray[np.float64]:
        return self.error_ranges(evaluated.task, answers, labels, input_size=evaluated.input_size)

    def kept(self, evaluated: "EvaluatedTask", faces: PerFace) -> NDArray[np.float64]:
        """A half for a mean error of a tenth of the reference (Task.error_reference)."""
        return half_kept(faces["by_reference"], at=_HALF_KEPT)

    def answered_column(self, evaluated: "EvaluatedTask", answers: NDArray[Any]) -> Rows:
        return super().answered_column(evaluated, (answers + 0.5) / evaluated.input_size)

    def draw(self, task: Task, picture: Picture, row: Rows) -> None:
        for x, y in row[~np.isnan(row).any(axis=1)].tolist():
            place = round(x * len(picture) - 0.5), round(y * len(picture) - 0.5)
            cv2.circle(picture, place, max(1, len(picture) // 160), _DOT, -1)

    def answer_shape(self, evaluated: "EvaluatedTask") -> tuple[int, ...]:
        return (len(evaluated.labels), 2)

    def from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        return np.asarray(answer.xy)

    def client_answer_in_crop(
        self, answer: Any, to_crop: ArrayLike, *, labels: Sequence[str], size: int
    ) -> NDArray[Any]:
        return transform(self.from_client(answer, labels), to_crop)

    def error_from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        return np.asarray(answer.errors)

    def client_error_in_crop(self, answer: Any, to_crop: ArrayLike, *, labels: Sequence[str]) -> NDArray[Any]:
        scale = math.sqrt(abs(np.linalg.det(np.asarray(to_crop, np.float64)[:, :2])))
        return self.error_from_client(answer, labels) * scale


def five_points(task: Task, label: Sequence[Sequence[float] | None]) -> NDArray[np.float64]:
    """The five points [5, 2] that a face is aligned by (Task.alignment_points); NaN where not known."""
    known = np.array([[np.nan, np.nan] if point is None else point for point in label], np.float64)
    places = [[task.labels.index(name) for name in names] for names in task.alignment_points]
    return np.stack([known[place].mean(axis=0) for place in places])


KIND = Points()
