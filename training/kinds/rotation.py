"""A rotation: a matrix in the graph, three angles in labels and served answers.

Written [yaw, pitch, roll] in degrees (runtime.pose). Column: the angles [3]. Target: the matrix [3, 3].
Raw answer: six numbers [B, 6].
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.image.align import in_plane_degrees
from runtime.pose import angles_from_rotation, rotate_in_plane, rotation_from_angles
from training.evaluation.scores import concordance, half_kept, mean
from training.kinds.base import Kind, finite_numbers, known_only, whole_labels
from training.kinds.forms import ErrorForm, Loss, Metric, Motion, PerFace, Rows
from training.kinds.showing import Picture
from training.task_type import Task

if TYPE_CHECKING:
    from torch import Tensor

    from training.evaluation.bootstrap import Values, Weights
    from training.evaluation.evaluated_task import EvaluatedTask

_TYPICAL_ERROR = 5.0  # degrees

# A mirrored picture mirrors the rotation that it shows.
_MIRROR = np.diag([-1.0, 1.0, 1.0])
_HALF_KEPT = 15.0  # degrees
_LEFT, _DOWN, _AHEAD = (255, 59, 48), (52, 199, 89), (10, 132, 255)  # colours of the head's axes
_AXIS = 0.6  # an axis's length, of half a picture's side


def rotation_from_6d(numbers: "Tensor") -> "Tensor":
    """Gram-Schmidt (Zhou et al. 2019; Q-Face, section 4.6): [B, 6] -> rotation matrices [B, 3, 3].

    The numbers are offsets from the identity's first two columns, so that zeros mean a frontal face.
    """
    import torch

    identity = numbers.new_tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    a1, a2 = torch.unflatten(numbers + identity, 1, (2, 3)).unbind(1)
    b1 = a1 / _norm(a1)
    b2 = a2 - (b1 * a2).sum(-1, keepdim=True) * b1
    b2 = b2 / _norm(b2)
    # The cross product written out: exporters have no node for it.
    (x1, y1, z1), (x2, y2, z2) = b1.unbind(-1), b2.unbind(-1)
    b3 = torch.stack([y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2], dim=-1)
    return torch.stack([b1, b2, b3], dim=-1)


def _norm(vector: "Tensor") -> "Tensor":
    return (vector.square().sum(-1, keepdim=True) + 1e-12).sqrt()


def _turned(degrees: NDArray[Any]) -> NDArray[Any]:
    """The same turn in -180 to 180 degrees: 179 and -179 degrees are 2 apart."""
    return np.asarray((degrees + 180) % 360 - 180)


def _geodesic(task: Task, raw: "Tensor", target: "Tensor") -> "Tensor":
    """The angle in radians between two rotations."""
    cosine = ((rotation_from_6d(raw) * target.nan_to_num()).sum((1, 2)) - 1) / 2
    # acos has no finite slope at 1.
    return known_only(whole_labels(target), cosine.clamp(-1 + 1e-6, 1 - 1e-6).acos())


class Rotation(Kind):
    """See the module."""

    name = "rotation"
    is_rotation = True
    unit = "degrees"
    label_count = (3, 3)  # yaw, pitch, roll
    losses: ClassVar[dict[str, Loss]] = {"geodesic": Loss(count=whole_labels, sum=_geodesic)}
    metrics = (
        Metric(name="euler_mean_absolute_error", unit="degrees", is_error=True),
        Metric(name="geodesic_error", unit="degrees", is_error=True),
        Metric(name="ccc"),
    )
    paper_metric = "ccc"
    # Six random numbers are near no rotation, and any rounding turns them far. As a trained network's do,
    # they stay in the neighbourhood of a face that looks ahead: the first two columns of the identity.
    untrained_logits = ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), 0.25)

    def usual_queries(self, labels: Sequence[str]) -> int:
        return 6  # numbers that make a rotation

    def column_shape(self, task: Task) -> tuple[int, ...]:
        return (len(task.labels),)

    def checked(self, task: Task, value: Any, *, picture: tuple[int, int] | None = None) -> Any:
        angles = finite_numbers(task, value, count=3)
        if max(map(abs, angles)) > 180:
            raise ValueError(
                f"{task.name} has an angle of {max(angles, key=abs):g} degrees, out of -180 to 180"
            )
        return angles

    def from_numbers(self, task: Task, numbers: Mapping[str, float]) -> Any:
        return [numbers.get(label, math.nan) for label in task.labels]

    def in_crop(self, task: Task, label: Any, forward: NDArray[Any]) -> Any:
        yaw, pitch, roll = label
        # Roll is the outermost rotation: a turned picture turns it and nothing else (runtime.pose).
        turned = roll + float(in_plane_degrees(forward))
        return [yaw, pitch, (turned + 180) % 360 - 180]

    def target(
        self, task: Task, rows: Rows, *, motion: Motion, crop_size: int, margin: int, points: Rows | None
    ) -> Rows:
        rotation = rotation_from_angles(rows)
        rotation = np.where(motion.mirrored[:, None, None], _MIRROR @ rotation @ _MIRROR, rotation)
        return rotate_in_plane(rotation, motion.turned).astype(np.float32)

    def noisy(self, task: Task, target: Rows, noise: NDArray[np.float64]) -> Rows:
        return (target + task.label_noise * noise[:, 1:].reshape(-1, 3, 3)).astype(np.float32)

    def physical(self, task: Task, raw: "Tensor", *, input_size: int) -> "Tensor":
        """Matrices [B, 3, 3]."""
        return rotation_from_6d(raw)

    def error_form(self, task: Task, *, input_size: int) -> ErrorForm:
        return ErrorForm(numbers=len(task.labels), unit="degrees", typical=_TYPICAL_ERROR)

    def error_ranges(
        self, task: Task, answers: NDArray[Any], targets: NDArray[Any], *, input_size: int
    ) -> NDArray[np.float64]:
        """Of yaw, pitch and roll."""
        apart = _turned(angles_from_rotation(targets) - angles_from_rotation(answers))
        return np.stack([apart, apart], axis=2)

    def constants(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> list[NDArray[Any]]:
        """The median of each angle."""
        return [rotation_from_angles(np.median(labels, axis=0))]

    def per_face(self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
        predicted = angles_from_rotation(answers)
        apart = _turned(predicted - labels)
        cosine = ((answers * rotation_from_angles(labels)).sum(axis=(1, 2)) - 1) / 2
        return {
            "predicted": labels + apart,
            "true": labels.astype(np.float64),
            "error": np.abs(apart),
            "geodesic": np.degrees(np.arccos(np.clip(cosine, -1, 1))),
        }

    def values(self, evaluated: "EvaluatedTask", faces: PerFace, weights: "Weights") -> "Values":
        errors = mean(weights, faces["error"])
        angles = zip(faces["predicted"].T, faces["true"].T, strict=True)
        ccc = np.stack([concordance(weights, predicted, true) for predicted, true in angles], axis=1)
        # Angles are always in the catalogue's order, whatever the order of the contract's labels.
        by_angle = {
            f"euler_mean_absolute_error/{label}": errors[:, i]
            for i, label in enumerate(evaluated.task.labels)
        }
        return {
            "euler_mean_absolute_error": errors.mean(axis=1),
            "geodesic_error": mean(weights, faces["geodesic"]),
            "ccc": ccc.mean(axis=1),
            **by_angle,
        }

    def kept(self, evaluated: "EvaluatedTask", faces: PerFace) -> NDArray[np.float64]:
        """A half for a rotation that is off by 15 degrees."""
        return half_kept(faces["geodesic"], at=_HALF_KEPT)

    def moved(self, task: Task, rows: Rows, *, motion: Motion, crop_size: int, margin: int) -> Rows:
        target = self.target(task, rows, motion=motion, crop_size=crop_size, margin=margin, points=None)
        return np.asarray(angles_from_rotation(target), np.float32)

    def answered_column(self, evaluated: "EvaluatedTask", answers: NDArray[Any]) -> Rows:
        return np.asarray(angles_from_rotation(answers), np.float32)

    def caption(self, task: Task, row: Rows) -> str:
        """The angles in whole degrees."""
        if np.isnan(row).any():
            return ""
        angles = zip(task.labels, row.tolist(), strict=True)
        return ", ".join(f"{label} {round(angle)}°" for label, angle in angles)

    def draw(self, task: Task, picture: Picture, row: Rows) -> None:
        """The head's left (red), down (green), and where the face looks (blue), from the crop's middle."""
        if np.isnan(row).any():
            return
        axes, middle = rotation_from_angles(row.astype(np.float64)), len(picture) / 2
        for axis, colour in ((axes[:, 0], _LEFT), (axes[:, 1], _DOWN), (-axes[:, 2], _AHEAD)):
            end = middle + axis[:2] * middle * _AXIS
            cv2.line(picture, (round(middle),) * 2, tuple(np.rint(end).astype(int).tolist()), colour, 2)

    def in_order(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> NDArray[Any]:
        return labels  # always yaw, pitch, roll

    def ranges_of(
        self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Of yaw, pitch and roll."""
        apart = _turned(labels - angles_from_rotation(answers))
        return np.stack([apart, apart], axis=2)

    def answer_shape(self, evaluated: "EvaluatedTask") -> tuple[int, ...]:
        return (3, 3)

    def from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        return rotation_from_angles([answer.angles[label] for label in labels])

    def error_from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        return np.array([answer.errors[label] for label in labels], np.float32)

    def client_answer_in_crop(
        self, answer: Any, to_crop: ArrayLike, *, labels: Sequence[str], size: int
    ) -> NDArray[Any]:
        return rotate_in_plane(self.from_client(answer, labels), in_plane_degrees(to_crop))


KIND = Rotation()
