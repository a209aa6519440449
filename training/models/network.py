"""What the networks of all families have in common: pixels, an encoder, an output, the layers' order."""

import abc
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from timm.models import group_parameters
from torch import Tensor, nn

from runtime.contract import Contract
from training.contract import make_contract
from training.models.attention import MultiHeadAttention
from training.models.config import NetworkConfig
from training.models.encoder import TimmEncoder
from training.task_type import Task

# ImageNet's, which timm's encoders expect.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)

_ENCODER = "encoder.model."


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOutput:
    """What one forward pass of a network gives.

    `logits` are each task's raw answers, in the order of the network's tasks: logits [B, queries]; of points,
    x and y in crop sides [B, K, 2], 0..1 inside the crop; of masks, logits [B, K, h, w] on a grid at least
    half as fine as the pixels. ExportWrapper turns them into physical values. `errors` are, of the tasks that
    have an error head, expected absolute errors of the physical values [B, numbers], in their unit, above 0.
    """

    logits: dict[str, Tensor]
    features: Tensor  # [B, tokens, channels] of the encoder's last stage
    # [B, ...]: the last tensor that the answers of all tasks are made of; None: the network has none such.
    shared: Tensor | None = None
    errors: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    # Of a network with queries: the final features [B, queries, width] of each task's.
    queries: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    mask_rows: Tensor | None = None  # int64 [R]: the faces that the masks are of; None: all
    attention: Tensor | None = None  # [B, heads, queries, tokens], where the network was called for it


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogitRows:
    """Views of a final linear map: changing them in place changes a task's logits [B, K]."""

    weight: Tensor  # [K, width]
    bias: Tensor  # [K]


class FaceNetwork(nn.Module, abc.ABC):
    """Pixels in, raw answers of every task out, by way of a timm encoder.

    Attributes: `config`; `tasks`, in the order of the answers; `encoder`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, config: NetworkConfig, tasks: tuple[Task, ...], encoder: TimmEncoder) -> None:
        super().__init__()
        self.config = config
        self.tasks = tasks
        self.encoder = encoder
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD) * 255, persistent=False)

    def adopt_tasks(self, tasks: Iterable[Task]) -> None:
        """Replace the catalogue's tasks by these where they have the same name: what the weights learned."""
        learned = {task.name: task for task in tasks}
        self.tasks = tuple(learned.get(task.name, task) for task in self.tasks)

    @abc.abstractmethod
    def forward(self, pixels: Tensor, *, masked_rows: Tensor | None = None) -> ModelOutput:
        """RGB pixels 0..255 [B, S, S, 3], uint8 or float -> the output of all tasks.

        `masked_rows`, int64 [R], restricts the masks to these faces: few training faces have one, and they
        are expensive. A network that can't save anything by it ignores it; `ModelOutput.mask_rows` is what
        the masks are really of.
        """

    if TYPE_CHECKING:  # nn.Module's own has no types
        __call__: Callable[..., ModelOutput]

    def normalized(self, pixels: Tensor) -> Tensor:
        """Pixels 0..255 [B, S, S, 3] as the encoder wants them: [B, 3, S, S] of about unit variance."""
        # Row by row: engines work on long rows at once, but on three channels at a time. As floats before
        # anything else: TensorRT reshapes no UINT8.
        columns = pixels.shape[2]
        mean, std = self.mean.repeat(columns), self.std.repeat(columns)
        rows = (pixels.float().flatten(2) - mean) / std
        return torch.unflatten(rows, 2, (columns, 3)).permute(0, 3, 1, 2)

    def contract(self, *, trained: Mapping[str, Sequence[str]] | None = None) -> Contract:
        """What this network answers, where it has learned the labels of `trained` (None: all)."""
        return make_contract(self.tasks, input_size=self.config.input_size, trained=trained)

    @property
    def error_tasks(self) -> tuple[str, ...]:
        """The tasks of which the network also states how far the answer may be off (`ModelOutput.errors`)."""
        return ()

    def logit_rows(self, task: Task) -> LogitRows | None:
        """The rows of a final linear map that give a task's logits and nothing else.

        None where the task's answer is no such map, or the network has no map by label.
        """
        return None

    def set_explicit_attention(self, explicit: bool = True) -> None:
        """Attention from single operations, for export and for counting FLOPs; or fused."""
        for module in self.modules():
            if isinstance(module, MultiHeadAttention):
                module.explicit = explicit
            elif hasattr(module, "fused_attn"):
                # A switch of timm's attention layers.
                module.fused_attn = not explicit  # type: ignore[assignment]

    def group_matcher(self, coarse: bool = False) -> Callable[[str], float]:
        """For timm's layer decay (section 4.1): a parameter's name to its layer's number.

        The encoder's layers are timm's own; everything behind the encoder is one more, the last.
        """
        matcher = self.encoder.model.group_matcher(coarse=coarse)
        layers: dict[str, Any] = group_parameters(self.encoder.model, matcher, reverse=True)
        return lambda name: layers.get(name.removeprefix(_ENCODER), math.inf)

    def no_weight_decay(self) -> set[str]:
        """For timm's optimizers: what is not decayed besides biases and norms: what the encoder names."""
        names: set[str] = getattr(self.encoder.model, "no_weight_decay", set)()
        return {_ENCODER + name for name in names}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of network: how its configurations are read, and built into networks."""

    name: str
    config: type[NetworkConfig]
    build: Callable[[Any], FaceNetwork]  # of a configuration of this type
    configs: Mapping[str, NetworkConfig]  # those that have a name


def check_contract(model: FaceNetwork, contract: Contract) -> None:
    """Raises ValueError for a contract that promises an expected error which the network does not state."""
    promised = [entry.name for entry in contract.tasks if entry.error is not None]
    if missing := [name for name in promised if name not in model.error_tasks]:
        raise ValueError(
            f"the contract has expected errors of {', '.join(missing)}, which the network does not state"
        )
