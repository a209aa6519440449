"""Which parts of an objective learn, and how those that don't are held still."""

from collections.abc import Mapping

import torch
from torch import Tensor

from training.train.objectives.objective import Objective


def train_mode(objective: Objective) -> None:
    """Training mode for all but the frozen parts: their BatchNorm and drop path stay at rest."""
    objective.train()
    for module in objective.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()


def freeze_what_no_loss_reaches(objective: Objective, batch: Mapping[str, Tensor]) -> None:
    """DDP waits for every parameter's gradient, so one that never gets any is frozen beforehand.

    (For example a ViT's last norm, where the fused stages are taken before it.)
    """
    objective.eval()
    counts = {name: torch.ones((), device=count.device) for name, count in objective.counts(batch).items()}
    objective(batch, counts, 1.0)[0].backward()
    for parameter in objective.parameters():
        if parameter.grad is None:
            parameter.requires_grad_(False)
        parameter.grad = None
