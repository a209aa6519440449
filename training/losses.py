"""What each task is trained with (Q-Face, sections 3.3 and 4). Pictures without a label add nothing."""

import torch
from torch import Tensor
from torch.nn import functional

from training.models.outputs import VALUE_CENTER, VALUE_SPREAD, rotation_from_6d
from training.tasks import Kind, Task

AGE_NOISE = 1.0  # years, standard deviation (section 4.5)
ROTATION_NOISE = 0.01  # on the nine entries, standard deviation (section 4.6)


def task_loss(
    task: Task, logits: Tensor, target: Tensor, *, generator: torch.Generator | None = None
) -> Tensor:
    """The mean loss of one task over the pictures of a batch that are labelled for it.

    `logits` [B, queries]; `target` by kind: classes int64 [B] (-1: none), multilabel [B, K] in [0, 1]
    (NaN: none), value [B, 2] as an interval (NaN: none), rotation [B, 3, 3] (NaN: none). With a
    `generator`, labels get the paper's training noise; without, none.
    """
    logits = logits.float()
    match task.kind:
        case Kind.CLASSES:
            known = target >= 0
            return (
                functional.cross_entropy(logits[known], target[known])
                if bool(known.any())
                else logits.sum() * 0
            )
        case Kind.MULTILABEL:
            known = ~target.isnan()
            losses = functional.binary_cross_entropy_with_logits(
                logits, target.nan_to_num(), reduction="none"
            )
            return _mean(losses, known)
        case Kind.VALUE:
            return interval_loss(logits[:, 0], target, generator=generator)
        case Kind.ROTATION:
            return geodesic_loss(rotation_from_6d(logits), target, generator=generator)
    raise ValueError(f"task {task.name!r}: there is no loss for {task.kind} yet")


def interval_loss(logits: Tensor, interval: Tensor, *, generator: torch.Generator | None) -> Tensor:
    """Smooth L1 between an age and the nearest point of its interval [B, 2] (a point where both ends agree).

    A bin such as 20-29 covers everybody who has not turned 30, and says nothing of where inside it.
    """
    known = ~interval.isnan().any(dim=1)
    low, high = interval.nan_to_num().unbind(1)
    high = torch.where(high > low, high + 1, high)
    if generator is not None:
        noise = torch.randn(low.shape, generator=generator) * AGE_NOISE
        low, high = low + noise, high + noise
    value = VALUE_CENTER + VALUE_SPREAD * logits
    nearest = torch.maximum(torch.minimum(value, high), low).detach()
    losses = functional.smooth_l1_loss(
        value / VALUE_SPREAD, nearest / VALUE_SPREAD, beta=0.1, reduction="none"
    )
    return _mean(losses, known)


def geodesic_loss(predicted: Tensor, target: Tensor, *, generator: torch.Generator | None) -> Tensor:
    """The mean angle in radians between rotations [B, 3, 3]."""
    known = ~target.isnan().flatten(1).any(dim=1)
    target = target.nan_to_num()
    if generator is not None:
        target = target + torch.randn(target.shape, generator=generator) * ROTATION_NOISE
    cosine = ((predicted * target).sum((1, 2)) - 1) / 2
    # acos has no finite slope at 1.
    return _mean(torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6)), known)


def _mean(losses: Tensor, known: Tensor) -> Tensor:
    return torch.where(known, losses, torch.zeros_like(losses)).sum() / known.sum().clamp(min=1)
