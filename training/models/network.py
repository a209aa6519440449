"""What the networks that answer tasks have in common: pixels, an encoder, and the layers' order."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from timm.models import group_parameters
from torch import Tensor, nn

from training.models.attention import MultiHeadAttention
from training.models.encoder import TimmEncoder
from training.tasks import Task, make_contract

if TYPE_CHECKING:
    from training.models.config import Config

# ImageNet's, which timm's encoders expect.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)

_ENCODER = "encoder.model."


class FaceNetwork(nn.Module):
    """Pixels in, raw answers of every task out, by way of a timm encoder.

    Attributes: `config`; `tasks`, in the order of the answers; `encoder`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, config: "Config", tasks: tuple[Task, ...], encoder: TimmEncoder) -> None:
        super().__init__()
        self.config = config
        self.tasks = tasks
        self.encoder = encoder
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD) * 255, persistent=False)

    def normalized(self, pixels: Tensor) -> Tensor:
        """Pixels 0..255 [B, S, S, 3] as the encoder wants them: [B, 3, S, S] of about unit variance."""
        # Row by row: engines work on long rows at once, but on three channels at a time. As floats before
        # anything else: TensorRT reshapes no UINT8.
        columns = pixels.shape[2]
        mean, std = self.mean.repeat(columns), self.std.repeat(columns)
        rows = (pixels.float().flatten(2) - mean) / std
        return rows.unflatten(2, (columns, 3)).permute(0, 3, 1, 2)

    def contract(self, *, trained: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
        """What this network answers (training.tasks.make_contract); `trained`: the labels it has learned."""
        return make_contract(self.tasks, input_size=self.config.input_size, trained=trained)

    def set_explicit_attention(self, explicit: bool = True) -> None:
        """Attention from single operations, for export and for counting FLOPs; or fused."""
        for module in self.modules():
            if isinstance(module, MultiHeadAttention):
                module.explicit = explicit
            elif hasattr(module, "fused_attn"):
                module.fused_attn = not explicit

    def group_matcher(self, coarse: bool = False) -> Callable[[str], float]:
        """For timm's layer decay (section 4.1): a parameter's name to its layer's number.

        The encoder's layers are timm's own; everything behind the encoder is one more, the last.
        """
        matcher = self.encoder.model.group_matcher(coarse=coarse)
        layers: dict[str, Any] = group_parameters(self.encoder.model, matcher, reverse=True)
        return lambda name: layers.get(name.removeprefix(_ENCODER), math.inf)

    def no_weight_decay(self) -> set[str]:
        """For timm's optimizers: what is not decayed besides biases and norms, as the encoder says."""
        names = getattr(self.encoder.model, "no_weight_decay", set)()
        return {_ENCODER + name for name in names}
