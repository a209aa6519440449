"""What each task is trained with (Q-Face, sections 3.3 and 4). Faces without a label add nothing.

A task's loss is found by its name in `LOSSES`; a run may name another one. Every loss is a sum over faces
divided by how much of the batch was labelled, and the two parts are to be had one by one, so that several
processes can add theirs up and get what one process would have got.

Beyond the paper: wing (Feng et al. 2018) for points; Dice (Milletari et al. 2016) with cross-entropy for
masks, or cross-entropy alone.
"""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from training.models.export_wrapper import VALUE_CENTER, VALUE_SPREAD, rotation_from_6d
from training.models.resizing import resized
from training.tasks import Kind, Task

AGE_NOISE = 1.0  # years, standard deviation, in training only (section 4.5)
ROTATION_NOISE = 0.01  # on the nine entries, standard deviation, in training only (section 4.6)
UNKNOWN_CLASS = 255  # of a mask's pixel

# Wing's, in hundredths of the crop's side: where its curve turns into a line, and how sharp it is at 0.
WING_WIDTH = 10.0
WING_SHARPNESS = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """One way to learn tasks of some kind."""

    kind: Kind
    count: Callable[[Tensor], Tensor]  # target -> [B]: how many labels of each face are known
    sum: Callable[[Tensor, Tensor], Tensor]  # raw, target -> [B]: the loss summed over a face's known labels


def known(task: Task, target: Tensor, confidence: Tensor | None = None, *, loss: str | None = None) -> Tensor:
    """How much each face of a batch counts, [B]: its known labels times its `confidence` [B].

    It is the divisor of `loss_sum` that makes a mean of it.
    """
    counts = loss_of(task, loss).count(target)
    return counts if confidence is None else counts * confidence


def loss_sum(
    task: Task, raw: Tensor, target: Tensor, *, confidence: Tensor | None = None, loss: str | None = None
) -> Tensor:
    """The loss of one task summed over faces and their known labels, weighted by `confidence` [B].

    `raw` is the network's answer (QFace.forward), and `target` by kind, NaN where unknown:

    classes: probabilities [B, K]
    multilabel: [B, K] in [0, 1]
    value: an interval [B, 2] in the task's unit, both ends equal for an exact value
    rotation: [B, 3, 3]
    points: [B, K, 2] in crop sides
    mask: class ids uint8 [B, S, S], 255 where unknown

    `loss` names another loss than the task's own.
    """
    per_face = loss_of(task, loss).sum(raw.float(), target)
    return (per_face if confidence is None else per_face * confidence).sum()


def task_loss(
    task: Task, raw: Tensor, target: Tensor, *, confidence: Tensor | None = None, loss: str | None = None
) -> Tensor:
    """The mean loss of one task over what is known of a batch; 0, with a graph, where nobody is labelled."""
    total = known(task, target, confidence, loss=loss).sum()
    summed = loss_sum(task, raw, target, confidence=confidence, loss=loss)
    return summed / torch.where(total > 0, total, torch.ones_like(total))


def loss_of(task: Task, name: str | None = None) -> Loss:
    """A task's loss, or another one by name; ValueError if it is unknown or for another kind of task."""
    name = name or task.loss
    if name not in LOSSES:
        raise ValueError(f"task {task.name!r} has the unknown loss {name!r}: choose from {', '.join(LOSSES)}")
    if LOSSES[name].kind is not task.kind:
        fitting = [other for other, loss in LOSSES.items() if loss.kind is task.kind]
        raise ValueError(
            f"the loss {name!r} is for {LOSSES[name].kind}, and task {task.name!r} is {task.kind}: "
            f"choose from {', '.join(fitting)}"
        )
    return LOSSES[name]


def _rows(target: Tensor) -> Tensor:
    """1 for each face whose label is wholly known, else 0: [B]."""
    return (~target.isnan().flatten(1).any(dim=1)).float()


def _entries(target: Tensor) -> Tensor:
    """How many of a face's labels are known: [B]."""
    return (~target.isnan()).flatten(1).sum(dim=1).float()


def _points(target: Tensor) -> Tensor:
    """How many of a face's points are known: [B]."""
    return (~target.isnan().any(dim=2)).sum(dim=1).float()


def _masked(target: Tensor) -> Tensor:
    """1 for each face with a known pixel, else 0: [B]."""
    return (target != UNKNOWN_CLASS).flatten(1).any(dim=1).float()


def _cross_entropy(raw: Tensor, target: Tensor) -> Tensor:
    losses = -(target.nan_to_num() * functional.log_softmax(raw, dim=1)).sum(dim=1)
    return _where(_rows(target), losses)


def _binary_cross_entropy(raw: Tensor, target: Tensor) -> Tensor:
    losses = functional.binary_cross_entropy_with_logits(raw, target.nan_to_num(), reduction="none")
    return _where(~target.isnan(), losses).sum(dim=1)


def _interval(raw: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 between a value and the nearest point of its interval.

    A bin such as 20-29 covers everybody who has not turned 30, and says nothing of where inside it.
    """
    low, high = target.nan_to_num().unbind(1)
    high = torch.where(high > low, high + 1, high)
    value = VALUE_CENTER + VALUE_SPREAD * raw[:, 0]
    nearest = torch.maximum(torch.minimum(value, high), low).detach()
    losses = functional.smooth_l1_loss(
        value / VALUE_SPREAD, nearest / VALUE_SPREAD, beta=0.1, reduction="none"
    )
    return _where(_rows(target), losses)


def _geodesic(raw: Tensor, target: Tensor) -> Tensor:
    """The angle in radians between two rotations."""
    cosine = ((rotation_from_6d(raw) * target.nan_to_num()).sum((1, 2)) - 1) / 2
    # acos has no finite slope at 1.
    return _where(_rows(target), torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6)))


def _wing(raw: Tensor, target: Tensor) -> Tensor:
    """The mean of both coordinates' wing loss over its width: about 1 for a tenth of the crop's side."""
    apart = (raw - target.nan_to_num()).abs() * 100
    near = WING_WIDTH * torch.log1p(apart / WING_SHARPNESS)
    far = apart - WING_WIDTH + WING_WIDTH * math.log1p(WING_WIDTH / WING_SHARPNESS)
    losses = torch.where(apart < WING_WIDTH, near, far).mean(dim=2) / WING_WIDTH
    return _where(~target.isnan().any(dim=2), losses).sum(dim=1)


def _dice_cross_entropy(raw: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy, mean over a face's known pixels, plus 1 - Dice, mean over the classes it shows."""
    logs, ids, there = _by_pixel(raw, target)
    probabilities = logs.exp() * there.unsqueeze(1)
    truth = functional.one_hot(ids, logs.shape[1]).permute(0, 3, 1, 2) * there.unsqueeze(1)
    size = truth.sum((2, 3))
    overlap = (probabilities * truth).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (probabilities.sum((2, 3)) + size + 1)
    shown = (size > 0).float()
    by_class = (dice * shown).sum(dim=1) / shown.sum(dim=1).clamp(min=1)
    return _pixel_cross_entropy(raw, target) + _where(_masked(target), by_class)


def _pixel_cross_entropy(raw: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy, mean over a face's known pixels."""
    logs, ids, there = _by_pixel(raw, target)
    by_pixel = _where(there, functional.nll_loss(logs, ids, reduction="none"))
    pixels = there.flatten(1).sum(dim=1).clamp(min=1)
    return _where(_masked(target), by_pixel.sum((1, 2)) / pixels)


def _by_pixel(raw: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities [B, K, S, S] of a mask's classes, and of each pixel its class and if it is known."""
    logits = resized(raw, (target.shape[1], target.shape[2]))
    there = target != UNKNOWN_CLASS
    return functional.log_softmax(logits, dim=1), torch.where(there, target, 0).long(), there


def _where(there: Tensor, losses: Tensor) -> Tensor:
    """The losses, and 0 where there is no label, with a slope of 0 too."""
    return torch.where(there.bool(), losses, torch.zeros_like(losses))


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(kind=Kind.CLASSES, count=_rows, sum=_cross_entropy),
    "binary_cross_entropy": Loss(kind=Kind.MULTILABEL, count=_entries, sum=_binary_cross_entropy),
    "smooth_l1": Loss(kind=Kind.VALUE, count=_rows, sum=_interval),
    "geodesic": Loss(kind=Kind.ROTATION, count=_rows, sum=_geodesic),
    "wing": Loss(kind=Kind.POINTS, count=_points, sum=_wing),
    "pixel_cross_entropy": Loss(kind=Kind.MASK, count=_masked, sum=_pixel_cross_entropy),
    "dice_cross_entropy": Loss(kind=Kind.MASK, count=_masked, sum=_dice_cross_entropy),
}
