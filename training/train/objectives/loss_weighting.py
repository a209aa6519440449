"""How the tasks' losses are weighed against each other (the alphas of equation 8)."""

import abc
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class LossWeighting(nn.Module, abc.ABC):
    """One number to minimise from the losses of all tasks."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        """`weights` of every loss, by name."""
        super().__init__()
        self.weights = dict(weights)

    @abc.abstractmethod
    def forward(self, means: Mapping[str, Tensor], *, counts: Mapping[str, Tensor], share: float) -> Tensor:
        """What is minimised, a scalar. Arguments as Objective.total's."""

    def factors(self) -> dict[str, float]:
        """What each loss is multiplied by now, where that is learned; else empty."""
        return {}

    def multipliers(self) -> dict[str, float]:
        """What each loss is multiplied by now."""
        return {**self.weights, **self.factors()}


class FixedWeighting(LossWeighting):
    """Equation 8: the sum of the losses times their fixed weights."""

    def forward(self, means: Mapping[str, Tensor], *, counts: Mapping[str, Tensor], share: float) -> Tensor:
        return torch.stack([self.weights[name] * mean for name, mean in means.items()]).sum()


class UncertaintyWeighting(LossWeighting):
    """Weights that are learned with the network (Kendall et al. 2018), after the fixed ones.

    A task's loss L counts as L / s + log(1 + s), where s, its noise, is learned: hard tasks come to count
    less. The second term is Liebel and Körner's (2018), which never becomes negative: with Kendall's log(s)
    a task that is learned by heart would take over the network.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__(weights)
        self.log_noise = nn.Parameter(torch.zeros(len(self.weights)))

    def forward(self, means: Mapping[str, Tensor], *, counts: Mapping[str, Tensor], share: float) -> Tensor:
        terms = []
        for i, (name, weight) in enumerate(self.weights.items()):
            noise = self.log_noise[i]
            # A task that nobody in the step is labelled for teaches nothing of its noise either.
            labelled = (counts[name] > 0).to(noise.dtype)
            terms.append(
                weight * torch.exp(-noise) * means[name] + labelled * share * functional.softplus(noise)
            )
        return torch.stack(terms).sum()

    def factors(self) -> dict[str, float]:
        values = (-self.log_noise.detach()).exp().tolist()
        return {name: w * f for (name, w), f in zip(self.weights.items(), values, strict=True)}


# By the name that a run has for it.
LOSS_WEIGHTINGS: dict[str, type[LossWeighting]] = {
    "fixed": FixedWeighting,
    "uncertainty": UncertaintyWeighting,
}


def loss_weighting_named(name: str) -> type[LossWeighting]:
    """ValueError for an unknown name."""
    if name not in LOSS_WEIGHTINGS:
        raise ValueError(f"unknown balance {name!r}: choose from {', '.join(LOSS_WEIGHTINGS)}")
    return LOSS_WEIGHTINGS[name]


def build_loss_weighting(name: str, *, losses: Sequence[str], weights: Mapping[str, float]) -> LossWeighting:
    """The weighting of this name over these losses; a loss without a weight has 1."""
    return loss_weighting_named(name)({loss: weights.get(loss, 1.0) for loss in losses})
