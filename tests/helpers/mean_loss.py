"""A task's loss as training minimises it in one process: the sum over what is known of a batch, divided."""

import torch
from torch import Tensor

from training.task_type import Task
from training.train.objectives.task_loss import known, loss_sum


def task_loss(
    task: Task, raw: Tensor, target: Tensor, *, confidence: Tensor | None = None, loss: str | None = None
) -> Tensor:
    """The mean loss over what is known of a batch; 0, with a graph, where nobody is labelled."""
    total = known(task, target, confidence, loss=loss).sum()
    summed = loss_sum(task, raw, target, confidence=confidence, loss=loss)
    return summed / torch.where(total > 0, total, torch.ones_like(total))
