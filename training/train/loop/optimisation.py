"""How weights are updated: AdamW, layer decay, warm-up and cosine, by timm (Q-Face, section 4.1)."""

import dataclasses
import math
from typing import Any, Self

import timm.optim
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.multistep_lr import MultiStepLRScheduler
from torch import nn

from training.plain_data import ADDED_LATER
from training.train.overrides import FORMERLY
from training.train.watching.trackers import check_names

_LARGEST_SEED = 2**63 - 1  # what torch takes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How weights are updated; a run inherits these fields."""

    learning_rate: float  # at its peak
    steps: int = 0  # updates in all; 0: `epochs` decides
    epochs: float = 0.0  # passes over the largest set, where `steps` is 0
    end_learning_rate: float = 0.0  # where the cosine ends
    milestones: tuple[float, ...] = ()  # parts of the run after which the rate is a tenth; (): a cosine
    warmup_steps: int = 0  # linear, before the cosine
    warmup_epochs: float = 0.0  # the same, where `steps` is 0
    weight_decay: float = 0.05  # not on biases, norms and what an encoder names (a ViT's class token)
    betas: tuple[float, float] = (0.9, 0.999)  # AdamW's
    layer_decay: float | None = None  # each encoder layer learns by this factor slower than the next
    clip: float | None = None  # largest norm of the gradient
    ema_decay: float | None = None  # moving average of the weights; None: the weights themselves are kept
    accumulate: int = 1  # micro-batches a step and process: less memory, the same result
    bf16: bool = True  # autocast, the weights stay fp32; in fp32 where the device has no bf16 of its own
    compile: bool = False  # torch.compile the network; as it is where that fails
    # Activations of transformer blocks are computed again in the backward pass rather than kept
    # (training.models.recomputation).
    recompute: bool = dataclasses.field(default=False, metadata={ADDED_LATER: True})
    # Weights, gradients and moments are divided among the processes (training.train.loop.sharding).
    shard: bool = dataclasses.field(default=False, metadata={ADDED_LATER: True})
    seed: int = 1
    workers: int = 2  # processes that draw batches, of each training process; 0: itself
    checkpoint_every: int = 200  # steps
    progress_every: int = 50  # steps
    # Beside progress.jsonl, from training.train.watching.trackers: "tensorboard", "mlflow".
    trackers: tuple[str, ...] = dataclasses.field(
        default=("tensorboard",),
        metadata={ADDED_LATER: True, FORMERLY: {"tensorboard": {"true": "tensorboard", "false": "none"}}},
    )
    # Steps between those that measure each loss's own gradient (Objective.pulls); 0: none. With ten tasks
    # such a step takes a bit more than twice its time.
    gradients_every: int = dataclasses.field(default=100, metadata={ADDED_LATER: True})
    # Steps between pictures of what the network answers about a few faces; 0: none.
    samples_every: int = dataclasses.field(default=500, metadata={ADDED_LATER: True})

    def __post_init__(self) -> None:
        for name, low in {
            "steps": 0,
            "epochs": 0,
            "warmup_steps": 0,
            "warmup_epochs": 0,
            "accumulate": 1,
            "workers": 0,
            "checkpoint_every": 1,
            "progress_every": 1,
            "gradients_every": 0,
            "samples_every": 0,
        }.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} = {getattr(self, name)} is too small: take at least {low}")
        if not 0 <= self.seed <= _LARGEST_SEED:
            raise ValueError(f"seed = {self.seed} is no seed: take 0 to {_LARGEST_SEED}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas = {self.betas} must be at least 0 and less than 1 each")
        check_names(self.trackers)
        if self.shard and self.compile:
            raise ValueError("a network whose weights are divided can't be compiled: set shard or compile")
        if not self.steps and not self.epochs:
            raise ValueError("the run has no length: set steps or epochs")
        if not self.steps and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"{self.epochs:g} epochs leave none after {self.warmup_epochs:g} of warm-up: take more, "
                "or a smaller warmup_epochs"
            )
        if self.steps and self.warmup_steps >= self.steps:
            raise ValueError(
                f"{self.steps} steps leave none after {self.warmup_steps} of warm-up: take more steps, "
                "or a smaller warmup_steps"
            )
        for name in (
            "learning_rate",
            "end_learning_rate",
            "weight_decay",
            "clip",
            "layer_decay",
            "ema_decay",
        ):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} = {value} must be a finite number that is not negative")
        if list(self.milestones) != sorted({part for part in self.milestones if 0 < part < 1}):
            raise ValueError(f"milestones {self.milestones} must be parts of the run: increasing, in (0, 1)")
        for name in ("layer_decay", "ema_decay"):
            if (getattr(self, name) or 0.5) > 1:
                raise ValueError(f"{name} = {getattr(self, name)} must not be larger than 1")

    def in_steps(self, epoch: float) -> Self:
        """The same in updates, where `epoch` of them are one pass; unchanged where `steps` are given."""
        if self.steps:
            return self
        steps = max(1, round(self.epochs * epoch))
        warmup = min(round(self.warmup_epochs * epoch), steps - 1)
        return dataclasses.replace(self, steps=steps, warmup_steps=warmup)

    def build_optimizer(self, whole: nn.Module, *, network: nn.Module) -> torch.optim.Optimizer:
        """AdamW over what learns of `whole`, whose `network` is the part that layer decay counts.

        With a layer decay the network names its layers as timm's models do (`group_matcher`); what lies
        outside it (such as the weights of a loss) learns at the full rate, without weight decay.
        """
        groups: list[dict[str, Any]]
        if self.layer_decay is None:
            groups = timm.optim.param_groups_weight_decay(  # type: ignore[attr-defined]
                whole, self.weight_decay, no_weight_decay_list=_undecayed(whole)
            )
        else:
            groups = timm.optim.param_groups_layer_decay(  # type: ignore[attr-defined]
                network,
                self.weight_decay,
                no_weight_decay_list=_undecayed(network),
                layer_decay=self.layer_decay,
            )
            counted = {id(p) for p in network.parameters()}
            rest = [p for p in whole.parameters() if id(p) not in counted and p.requires_grad]
            groups.append({"params": rest, "weight_decay": 0.0, "lr_scale": 1.0})
        groups = [group for group in groups if group["params"]]
        if not groups:
            raise ValueError("no parameter of the network learns: leave something unfrozen")
        optimizer: torch.optim.Optimizer = timm.optim.create_optimizer_v2(  # type: ignore[attr-defined]
            groups, opt="adamw", lr=self.learning_rate, betas=self.betas
        )
        return optimizer

    def build_schedule(self, optimizer: torch.optim.Optimizer) -> CosineLRScheduler | MultiStepLRScheduler:
        """Linear warm-up, then a cosine, or a tenth after each milestone; one value an update."""
        if self.milestones:
            return MultiStepLRScheduler(
                optimizer,
                # timm counts updates from 1 here.
                decay_t=[round(part * self.steps) + 1 for part in self.milestones],
                decay_rate=0.1,
                warmup_t=self.warmup_steps,
                warmup_lr_init=self.learning_rate / max(self.warmup_steps, 1),
                warmup_prefix=False,
                t_in_epochs=False,
            )
        return CosineLRScheduler(
            optimizer,
            t_initial=max(self.steps - self.warmup_steps, 1),
            lr_min=self.end_learning_rate,
            warmup_t=self.warmup_steps,
            # The first update already learns something.
            warmup_lr_init=self.learning_rate / max(self.warmup_steps, 1),
            warmup_prefix=True,
            t_in_epochs=False,
        )


# What may change between two parts of one run without changing its result.
HARMLESS = (
    "workers",
    "checkpoint_every",
    "progress_every",
    "trackers",
    "gradients_every",
    "samples_every",
    "recompute",
    "shard",
    "tensorboard",  # of older states
)


def _undecayed(whole: nn.Module) -> set[str]:
    """The parameters of timm's models in `whole` that must not decay, by their names in it."""
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in whole.named_modules()
        for name in getattr(module, "no_weight_decay", set)()
    }
