"""The objective of fine-tuning: all tasks' losses, and maybe a teacher's features (Q-Face, equation 8)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.kinds import kind_of
from training.models.network import FaceNetwork, ModelOutput
from training.task_type import Task
from training.train.objectives.distillation import LOSS as DISTILLATION
from training.train.objectives.distillation import FeatureDistillation
from training.train.objectives.loss_weighting import LossWeighting
from training.train.objectives.objective import Objective
from training.train.objectives.task_loss import known, loss_sum

# States of runs that were written before the attribute was renamed have its tensors under this name.
_FORMER_WEIGHTING = "balance."


class MultiTaskObjective(Objective):
    """Equation 8: the weighted sum of the tasks' losses, each a mean over the labelled faces of a step.

    A frozen network may answer more tasks than are trained: `tasks` are those that have losses. `losses` are
    the names of others than a task's own.
    """

    def __init__(
        self,
        model: FaceNetwork,
        *,
        tasks: Sequence[Task],
        losses: Mapping[str, str],
        weighting: LossWeighting,
        distillation: FeatureDistillation | None = None,
    ) -> None:
        super().__init__()
        self.model, self.tasks, self.losses = model, tuple(tasks), dict(losses)
        self.distillation = distillation
        self.weighting = weighting

    def learned_weights(self) -> dict[str, float]:
        return self.weighting.factors()

    def multipliers(self) -> Mapping[str, float]:
        return self.weighting.multipliers()

    def network(self) -> nn.Module:
        return self.model

    def counts(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        counts = {
            task.name: known(
                task,
                batch[task.name],
                batch[f"{task.name}/confidence"],
                loss=self.losses.get(task.name),
            ).sum()
            for task in self.tasks
        }
        if self.distillation is not None:
            counts[DISTILLATION] = self.distillation.count(batch[DISTILLATION])
        return counts

    def sums(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self._sums(self._answers(batch), batch)

    def forward(
        self, batch: Mapping[str, Tensor], counts: Mapping[str, Tensor], share: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        output = self._answers(batch)
        return self.descent(self._sums(output, batch), counts=counts, share=share, shared=output.shared)

    def _answers(self, batch: Mapping[str, Tensor]) -> ModelOutput:
        return self.model(batch["pixels"], masked_rows=self._masked_rows(batch))

    def _sums(self, output: ModelOutput, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        sums = {}
        for task in self.tasks:
            target, confidence = batch[task.name], batch[f"{task.name}/confidence"]
            if output.mask_rows is not None and kind_of(task).needs_places:
                target, confidence = target[output.mask_rows], confidence[output.mask_rows]
            loss = self.losses.get(task.name)
            sums[task.name] = loss_sum(
                task, output.logits[task.name], target, confidence=confidence, loss=loss
            )
        if self.distillation is not None:
            sums[DISTILLATION] = self.distillation(output.features, batch[DISTILLATION]).sum()
        return sums

    def total(self, means: Mapping[str, Tensor], *, counts: Mapping[str, Tensor], share: float) -> Tensor:
        total: Tensor = self.weighting(means, counts=counts, share=share)
        return total

    def _masked_rows(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Indices [R] of the faces that have a mask; none where no task that is trained has masks.

        The first face where none has: every part of the network gets a gradient, if one of zero.
        """
        masks = [task for task in self.tasks if kind_of(task).needs_places]
        if not masks:  # a frozen network may answer them: an extension's steps don't pay for them
            return torch.arange(0, device=batch["pixels"].device)
        labelled = torch.stack([kind_of(task).has_target(batch[task.name]) for task in masks]).any(dim=0)
        if not bool(labelled.any()):
            return torch.zeros_like(labelled[:1], dtype=torch.long)
        return labelled.nonzero()[:, 0]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **more: Any) -> None:
        former = prefix + _FORMER_WEIGHTING
        for name in [name for name in state_dict if name.startswith(former)]:
            state_dict[f"{prefix}weighting.{name.removeprefix(former)}"] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args, **more)
