"""A class for each pixel.

Labels and targets are pictures of class ids, uint8, UNKNOWN where nobody knows. Raw answer: logits
[B, K, h, w] on a coarser grid.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.evaluation.scores import f1_of, mean_of_rows, ratio
from training.kinds.base import Kind, known_only, metric_by_label
from training.kinds.forms import Loss, Metric, Motion, PerFace, QueryAnswer, Rows
from training.kinds.showing import Picture
from training.task_type import Task

if TYPE_CHECKING:
    from torch import Tensor

    from training.data.prepared.face_set import FaceSet
    from training.evaluation.bootstrap import Values, Weights
    from training.evaluation.evaluated_task import EvaluatedTask

UNKNOWN = 255  # a pixel whose class nobody knows


def _labelled_faces(target: "Tensor") -> "Tensor":
    """1 for each face with a known pixel, else 0: [B]."""
    return (target != UNKNOWN).flatten(1).any(dim=1).float()


def _pixel_cross_entropy(task: Task, raw: "Tensor", target: "Tensor") -> "Tensor":
    """Cross-entropy, mean over a face's known pixels."""
    from torch.nn import functional

    logs, ids, known = _by_pixel(raw, target)
    by_pixel = known_only(known, functional.nll_loss(logs, ids, reduction="none"))
    pixels = known.flatten(1).sum(dim=1).clamp(min=1)
    return known_only(_labelled_faces(target), by_pixel.sum((1, 2)) / pixels)


def _dice_cross_entropy(task: Task, raw: "Tensor", target: "Tensor") -> "Tensor":
    """Cross-entropy, mean over a face's known pixels, plus 1 - Dice, mean over the classes it shows.

    Dice: Milletari et al. 2016.
    """
    from torch.nn import functional

    logs, ids, known = _by_pixel(raw, target)
    probabilities = logs.exp() * known.unsqueeze(1)
    truth = functional.one_hot(ids, logs.shape[1]).permute(0, 3, 1, 2) * known.unsqueeze(1)
    size = truth.sum((2, 3))
    overlap = (probabilities * truth).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (probabilities.sum((2, 3)) + size + 1)
    shown = (size > 0).float()
    by_class = (dice * shown).sum(dim=1) / shown.sum(dim=1).clamp(min=1)
    return _pixel_cross_entropy(task, raw, target) + known_only(_labelled_faces(target), by_class)


def _by_pixel(raw: "Tensor", target: "Tensor") -> tuple["Tensor", "Tensor", "Tensor"]:
    """Log-probabilities [B, K, S, S] of a mask's classes, and of each pixel its class and if it is known."""
    import torch

    from training.models.resizing import resized

    logits = resized(raw, (target.shape[1], target.shape[2]))
    known = target != UNKNOWN
    return logits.log_softmax(dim=1), torch.where(known, target, 0).long(), known


class Mask(Kind):
    """See the module."""

    name = "mask"
    has_sides = True
    unit = "class"
    label_count = (2, math.inf)
    losses: ClassVar[dict[str, Loss]] = {
        "dice_cross_entropy": Loss(count=_labelled_faces, sum=_dice_cross_entropy),
        "pixel_cross_entropy": Loss(count=_labelled_faces, sum=_pixel_cross_entropy),
    }
    metrics = (Metric(name="mean_f1"), Metric(name="pixel_accuracy"), Metric(name="f1"))
    query_answer = QueryAnswer.MAP
    drawn_first = True
    constant_faces = 500

    def column_shape(self, task: Task) -> tuple[int, ...]:
        raise ValueError(f"task {task.name!r} has masks, which are pictures and no column")

    def checked(self, task: Task, value: Any, *, picture: tuple[int, int] | None = None) -> Any:
        raise ValueError(f"{task.name} is a mask, which is given as a picture and not among the labels")

    def labelled(self, task: Task, faces: "FaceSet") -> bool:
        return task.name in faces.masks

    def learned(self, task: Task, faces: "FaceSet") -> NDArray[np.bool_]:
        return np.full(len(task.labels), task.name in faces.masks)

    def batch_target(
        self,
        task: Task,
        faces: "FaceSet",
        indices: NDArray[np.int64],
        *,
        motion: Motion,
        points: Rows | None = None,
    ) -> NDArray[np.uint8]:
        """Class ids [B, S, S]."""
        from training.data.sampling.augmentation import warp_mask

        masks = np.full((len(indices), motion.size, motion.size), UNKNOWN, np.uint8)
        for k, index in enumerate(indices.tolist()):
            mask = faces.mask(task.name, index)
            if mask is None:
                continue
            moved = warp_mask(mask, motion.matrix[k], size=motion.size, unknown=UNKNOWN)
            masks[k] = mirrored_mask(task, moved) if motion.mirrored[k] else moved
            if not np.isnan(motion.covered[k, 0]):
                x0, y0, x1, y1 = motion.covered[k].astype(int)
                masks[k, y0:y1, x0:x1] = UNKNOWN  # nobody sees what is there
        return masks

    def has_target(self, target: "Tensor") -> "Tensor":
        return (target != UNKNOWN).flatten(1).any(dim=1)

    def physical(self, task: Task, raw: "Tensor", *, input_size: int) -> "Tensor":
        """The likeliest class of each pixel, uint8 [B, S, S]."""
        import torch

        from training.models.resizing import resized

        return resized(raw, (input_size, input_size)).argmax(dim=1).to(torch.uint8)

    def pooled_numbers(self, task: Task) -> int:
        raise ValueError(f"task {task.name!r} needs places, which an average over them has lost")

    def known(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray((labels != UNKNOWN).any(axis=(1, 2)))

    def constants(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> list[NDArray[Any]]:
        """The most frequent class of each pixel."""
        counts = [(labels == i).sum(axis=0) for i in range(len(evaluated.labels))]
        return [np.argmax(counts, axis=0).astype(np.uint8)]

    def per_face(self, evaluated: "EvaluatedTask", answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
        count = len(evaluated.labels)
        known = labels != UNKNOWN
        face = np.arange(len(labels))[:, None, None] * count
        counts = {
            "predicted": (face + answers)[known],
            "true": (face + labels)[known],
            "both": (face + labels)[known & (answers == labels)],
        }
        return {
            name: np.bincount(cells, minlength=len(labels) * count).reshape(len(labels), count)
            for name, cells in counts.items()
        }

    def values(self, evaluated: "EvaluatedTask", faces: PerFace, weights: "Weights") -> "Values":
        """The mean F1 is over the classes without Task.background."""
        f1 = f1_of(weights, faces["both"], faces["predicted"], faces["true"])
        background = evaluated.task.background
        parts = f1 if background is None else np.delete(f1, evaluated.labels.index(background), axis=1)
        pixels = ratio(
            weights @ faces["both"].sum(axis=1).astype(np.float64), weights @ faces["true"].sum(axis=1)
        )
        return {
            "mean_f1": mean_of_rows(parts),
            "pixel_accuracy": pixels,
            **metric_by_label("f1", evaluated, f1),
        }

    def labels_of(
        self, evaluated: "EvaluatedTask", faces: "FaceSet", indices: NDArray[np.int64]
    ) -> NDArray[Any]:
        masks = faces.served_masks(evaluated.task.name, indices, size=evaluated.input_size)
        return self.in_order(evaluated, masks)

    def in_order(self, evaluated: "EvaluatedTask", labels: NDArray[Any]) -> NDArray[Any]:
        place = np.full(256, UNKNOWN, np.uint8)
        place[list(evaluated.order)] = np.arange(len(evaluated.order))
        return np.asarray(place[labels])

    def answer_rows(self, evaluated: "EvaluatedTask", answers: NDArray[Any]) -> NDArray[Any]:
        """Class ids of the catalogue [N, S, S]."""
        return np.asarray(np.asarray(evaluated.order, np.uint8)[answers])

    def label_rows(
        self, task: Task, faces: "FaceSet", indices: NDArray[np.int64], *, size: int
    ) -> NDArray[np.uint8] | None:
        return faces.served_masks(task.name, indices, size=size) if task.name in faces.masks else None

    def draw(self, task: Task, picture: Picture, row: NDArray[Any]) -> None:
        """Each class in a colour of its own, the first one and what nobody knows as they are."""
        side = len(picture)
        ids = cv2.resize(row, (side, side), interpolation=cv2.INTER_NEAREST)
        count = len(task.labels)
        hues = np.full((count, 1, 3), 220, np.uint8)
        hues[:, 0, 0] = np.arange(count) * 180 // count * 7 % 180  # far apart for neighbours
        colours = cv2.cvtColor(hues, cv2.COLOR_HSV2RGB)[:, 0]
        laid = (ids > 0) & (ids < count)
        picture[laid] = picture[laid] // 2 + colours[ids[laid]] // 2

    def answer_shape(self, evaluated: "EvaluatedTask") -> tuple[int, ...]:
        return (evaluated.input_size, evaluated.input_size)

    def invalid(self, evaluated: "EvaluatedTask", answers: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(answers >= len(evaluated.labels))

    def from_client(self, answer: Any, labels: Sequence[str]) -> NDArray[Any]:
        return np.asarray(answer.ids)

    def client_answer_in_crop(
        self, answer: Any, to_crop: ArrayLike, *, labels: Sequence[str], size: int
    ) -> NDArray[Any]:
        """By the nearest pixel; the first class where the answer's own crop or the photo ends before."""
        from qface_client.results import OUTSIDE

        ids = self.from_client(answer, labels)
        own_to_crop = _squared(to_crop) @ _squared(answer.to_photo)
        places = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
        own = places @ np.linalg.inv(own_to_crop)[:2, :2].T + np.linalg.inv(own_to_crop)[:2, 2]
        column, row = np.moveaxis(np.floor(own + 0.5).astype(np.intp), -1, 0)
        height, width = ids.shape
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        found = ids[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        return np.where(inside & (found != OUTSIDE), found, np.uint8(0))

    def client_answer_in_photo(self, answer: Any, *, width: int, height: int) -> NDArray[Any]:
        """The first class where the answer does not reach."""
        from qface_client.results import OUTSIDE

        ids = answer.in_photo(width, height)
        return np.where(ids == OUTSIDE, np.uint8(0), ids)


def checked_mask(task: Task, mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Class ids [H, W] uint8; ValueError for another shape, type or an id that the task does not have."""
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError(
            f"its {task.name} mask has shape {mask.shape} and type {mask.dtype}, not one byte a pixel"
        )
    ids = np.flatnonzero(np.bincount(mask.reshape(-1), minlength=256))
    wrong = [int(i) for i in ids if i != UNKNOWN and i >= len(task.labels)]
    if wrong:
        raise ValueError(f"its {task.name} mask has class {wrong[0]}, past the last, {len(task.labels) - 1}")
    return mask


def mirrored_mask(task: Task, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class ids of a mask whose picture was mirrored: sides change their names."""
    table = np.arange(256, dtype=np.uint8)
    table[: len(task.labels)] = task.mirrored_order()
    return np.asarray(table[mask])


def _squared(affine: ArrayLike) -> NDArray[np.float64]:
    return np.vstack([np.asarray(affine, np.float64), [0, 0, 1]])


KIND = Mask()
