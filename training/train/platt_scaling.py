"""Scale and shift of logits that make known labels likeliest: Platt scaling, with a weak prior."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# How far a scale's logarithm, and a shift, usually go: what few faces say beyond that is not believed.
_USUAL = (0.5, 2.0)
_STEPS = 200  # of L-BFGS, which needs a tenth


def fit_classes(logits: Tensor, targets: Tensor) -> float:
    """The factor (one over the temperature) of logits [N, K] that makes targets [N, K] likeliest."""
    logits, targets = logits.double(), targets.double()

    def loss(numbers: Tensor) -> Tensor:
        logs = functional.log_softmax(logits * numbers[0].exp(), dim=1)
        return (_prior(numbers) - (targets * logs).sum()) / len(logits)

    return float(_least(loss, torch.zeros(1)).exp()[0])


def fit_label(logits: Tensor, present: Tensor) -> tuple[float, float]:
    """Scale and shift of one label's logits [N] for whether it is there [N], 0 or 1."""
    logits, present = logits.double(), present.double()

    def loss(numbers: Tensor) -> Tensor:
        scaled = logits * numbers[0].exp() + numbers[1]
        # The binary cross-entropy; torch's own shares out even a handful of numbers among all threads.
        summed = (functional.softplus(scaled) - scaled * present).sum()
        return (_prior(numbers) + summed) / len(logits)

    scale, shift = _least(loss, torch.zeros(2)).tolist()
    return float(np.exp(scale)), float(shift)


def _prior(numbers: Tensor) -> Tensor:
    """Minus the logarithm of how likely a scale's logarithm, and a shift, are before any face is seen."""
    return (numbers / torch.tensor(_USUAL[: len(numbers)])).square().sum() / 2


def _least(loss: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Where a smooth function of a few numbers is least, from `start` on."""
    numbers = start.double().requires_grad_(True)
    optimizer = torch.optim.LBFGS([numbers], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def evaluated() -> Tensor:
        optimizer.zero_grad()
        value = loss(numbers)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(evaluated)  # type: ignore[no-untyped-call]
    return numbers.detach()
