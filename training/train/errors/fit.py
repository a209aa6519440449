"""Fits one error head to observations, by Laplace's likelihood of the truth."""

import copy
import math

import torch
from torch import Tensor

from training.models.qface.error_heads import ErrorHead
from training.train.errors.laplace import unlikelihood
from training.train.errors.observations import CHECK, FIT, Observations

_STEPS = 600
_BATCH = 128
_LEARNING_RATE = 5e-3
_WEIGHT_DECAY = 1e-2
_LOOK_EVERY = 50  # steps: the head that does best on the faces of CHECK is kept
_CLIP = 1.0


def fit_head(head: ErrorHead, observed: Observations, *, seed: int) -> float:
    """Fits the head in place to the part FIT; returns the mean unlikelihood that it reaches on CHECK.

    Torch's own generator is left as it was.
    """
    head.requires_grad_(True)
    parts = torch.from_numpy(observed.parts)
    weights = torch.from_numpy(observed.weights).float()
    ranges = torch.from_numpy(observed.ranges).float()
    rows, check = (parts == FIT).nonzero()[:, 0], (parts == CHECK).nonzero()[:, 0]
    optimizer = torch.optim.AdamW(head.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: 0.5 + 0.5 * math.cos(math.pi * n / _STEPS)
    )
    generator = torch.Generator().manual_seed(seed)
    drawn = weights[rows] / weights[rows].sum()
    best, reached = copy.deepcopy(head.state_dict()), _mean(head, observed, ranges, weights, rows=check)
    for step in range(1, _STEPS + 1):
        batch = rows[torch.multinomial(drawn, _BATCH, replacement=True, generator=generator)]
        loss = _unlikelihoods(head, observed.features[batch].float(), ranges[batch]).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(head.parameters(), _CLIP)
        optimizer.step()
        schedule.step()
        if step % _LOOK_EVERY == 0:
            value = _mean(head, observed, ranges, weights, rows=check)
            if value < reached:
                best, reached = copy.deepcopy(head.state_dict()), value
    head.load_state_dict(best)
    head.requires_grad_(False)
    return reached


def _unlikelihoods(head: ErrorHead, features: Tensor, ranges: Tensor) -> Tensor:
    """[N]: the mean over each face's known numbers."""
    known = ~ranges.isnan().any(dim=-1)
    # What is not known is replaced before it is computed with, so that no slope of it is NaN.
    losses = unlikelihood(ranges.nan_to_num(), head(features))
    return (losses * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)


def _mean(head: ErrorHead, observed: Observations, ranges: Tensor, weights: Tensor, *, rows: Tensor) -> float:
    """The weighted mean of some rows."""
    total = torch.zeros(())
    with torch.no_grad():
        for part in torch.split(rows, _BATCH):
            losses = _unlikelihoods(head, observed.features[part].float(), ranges[part])
            total += (losses * weights[part]).sum()
    return float(total / weights[rows].sum())
