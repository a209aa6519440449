"""What a run minimises, and what it draws: the two things that the training loop is given."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class StepData(Protocol):
    """Which faces a step draws, on this process: a map-style torch dataset whose items are steps."""

    def __len__(self) -> int: ...

    def __getitem__(self, step: int) -> Mapping[str, Any]:
        """Arrays of equal first axis (this process's share of the global batch), by name."""
        ...

    def names(self, step: int) -> list[str]:
        """What to call each of these rows in a message: the set and the file."""
        ...


class Objective(nn.Module):
    """A network and what is minimised of it. Subclasses define `counts` and `sums`.

    A batch is a dict of tensors with one first axis; every part of it is worth a forward call.
    """

    def __init__(self) -> None:
        super().__init__()
        # Whether a forward pass also measures `pulls`: by each loss's name the squared norm of its gradient,
        # weighted as it is minimised, at what all losses are made of. The parts of a step add up.
        self.measures_pulls = False
        self.pulls: dict[str, Tensor] = {}

    def counts(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """How much of a batch each loss counts (a scalar by the loss's name), from the batch alone."""
        raise NotImplementedError

    def sums(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Each loss summed over what it counts: scalars with a graph, the same names as `counts`."""
        raise NotImplementedError

    def total(self, means: Mapping[str, Tensor], *, counts: Mapping[str, Tensor], share: float) -> Tensor:
        """What is minimised, from this part's contributions to the losses' means.

        `counts` are the global batch's, and `share` is this part's share of a step, for what does not
        depend on the part.
        """
        return torch.stack(list(means.values())).sum()

    def learned_weights(self) -> dict[str, float]:
        """What each loss is multiplied by now, by name, where that is learned; else empty."""
        return {}

    def network(self) -> nn.Module:
        """The part whose layers timm's layer decay counts, and which torch.compile compiles."""
        return self

    def forward(
        self, batch: Mapping[str, Tensor], counts: Mapping[str, Tensor], share: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What to descend, and the detached sums. `counts` are those of the global batch."""
        return self.descent(self.sums(batch), counts=counts, share=share)

    def descent(
        self,
        sums: Mapping[str, Tensor],
        *,
        counts: Mapping[str, Tensor],
        share: float,
        shared: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As `forward`, of the losses' sums; `shared` is what all losses are made of, for `pulls`."""
        means = {name: value / counts[name].clamp(min=1e-6) for name, value in sums.items()}
        self.pulls = self._measured_pulls(means, shared) if self.measures_pulls else {}
        return self.total(means, counts=counts, share=share), {
            name: value.detach() for name, value in sums.items()
        }

    def multipliers(self) -> Mapping[str, float]:
        """What each loss is multiplied by now, by name; 1 for one that is not named."""
        return {}

    def _measured_pulls(self, means: Mapping[str, Tensor], shared: Tensor | None) -> dict[str, Tensor]:
        if shared is None or not shared.requires_grad:
            return {}
        weights, pulls = self.multipliers(), {}
        for name, mean in means.items():
            # Nothing before `shared` is computed, and no parameter's gradient touched.
            (slope,) = torch.autograd.grad(mean, shared, retain_graph=True, allow_unused=True)
            # Every name in every process and part, as they are added up.
            pulls[name] = (
                (weights.get(name, 1.0) * slope.float()).square().sum()
                if slope is not None
                else mean.new_zeros(())
            )
        return pulls
