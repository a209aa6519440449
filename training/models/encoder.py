"""The shared encoder: any timm model that gives intermediate features (Q-Face, section 3.1)."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import timm
import torch
from torch import Tensor, nn

from training.models.positions import sincos_positions


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderOutput:
    """What one forward pass of an encoder gives."""

    stages: list[Tensor]  # tokens [B, prefix + rows * columns, channels] a stage
    laterals: list[Tensor]  # maps [B, channels, rows, columns] of the lateral stages


class TimmEncoder(nn.Module):
    """Tokens of several stages of a timm model.

    `stages` are indices from 0 as timm counts them: the paper's blocks 4, 8 and 12 of a ViT-B are 3,
    7 and 11. A ViT keeps its [CLS] token and gets the paper's fixed position embedding; a
    convolutional model's feature maps become tokens row by row. `laterals` are further stages, whose maps
    a mask's details come from. What lies behind the last stage is left out.

    Attributes: `channels`, one a stage; `grids`, (rows, columns) a stage; `lateral_channels` and
    `lateral_grids`; `prefix_tokens`, the number of tokens that stand for no place; `model`, timm's.
    """

    def __init__(
        self,
        name: str,
        *,
        input_size: int,
        stages: Sequence[int],
        drop_path: float,
        options: dict[str, Any],
        laterals: Sequence[int] = (),
    ) -> None:
        super().__init__()
        # timm's models have methods and attributes of their own, which nn.Module's type does not know.
        model: Any = timm.create_model(
            name,
            pretrained=False,
            num_classes=0,
            drop_path_rate=drop_path,
            **_sized(name, input_size),
            **options,
        )
        if not hasattr(model, "forward_intermediates"):
            raise ValueError(f"timm's {name!r} gives no intermediate features: choose a model that does")
        self.is_vit: bool = isinstance(model, timm.models.VisionTransformer)
        if self.is_vit and laterals:
            raise ValueError(f"the stages of {name!r} are all of one resolution: leave mask_laterals empty")
        self.stages = list(stages)
        self.laterals = list(laterals)
        self.prefix_tokens: int = model.num_prefix_tokens if self.is_vit else 0
        if self.is_vit:
            _fix_positions(model)
        # Only the stages are used: parameters that no answer depends on would halt distributed training.
        model.prune_intermediate_layers([*self.laterals, *self.stages], prune_norm=True, prune_head=True)
        self.model: Any = model
        with torch.no_grad():
            found = self._maps(torch.zeros(2, 3, input_size, input_size))
        shapes = {stage: (m.shape[1], (m.shape[-2], m.shape[-1])) for stage, m in found.items()}
        self.channels = [shapes[stage][0] for stage in self.stages]
        self.grids = [shapes[stage][1] for stage in self.stages]
        self.lateral_channels = [shapes[stage][0] for stage in self.laterals]
        self.lateral_grids = [shapes[stage][1] for stage in self.laterals]

    def forward(self, images: Tensor) -> EncoderOutput:
        """Normalised images [B, 3, S, S] -> the tokens of all stages and the maps of the laterals."""
        if not self.is_vit:
            maps = self._maps(images)
            return EncoderOutput(
                stages=[maps[stage].flatten(2).transpose(1, 2) for stage in self.stages],
                laterals=[maps[stage] for stage in self.laterals],
            )
        features = self.model.forward_intermediates(
            images, indices=self.stages, output_fmt="NLC", return_prefix_tokens=True, intermediates_only=True
        )
        stages = [torch.cat([prefix, patches], dim=1) for patches, prefix in features]
        return EncoderOutput(stages=stages, laterals=[])

    if TYPE_CHECKING:  # nn.Module's own has no types
        __call__: Callable[..., EncoderOutput]

    def _maps(self, images: Tensor) -> dict[int, Tensor]:
        """The maps of all stages that are needed, by stage."""
        needed = sorted({*self.laterals, *self.stages})
        maps = self.model.forward_intermediates(
            images, indices=needed, output_fmt="NCHW", intermediates_only=True
        )
        return dict(zip(needed, maps, strict=True))


def _sized(name: str, input_size: int) -> dict[str, Any]:
    """The argument that fixes a transformer's input size; convolutional models take any."""
    return {"img_size": input_size} if name.startswith(("vit", "deit", "beit", "eva", "swin")) else {}


def _fix_positions(model: Any) -> None:
    """Replace a ViT's learned position embedding by the fixed one (section 3.1)."""
    _, tokens, width = model.pos_embed.shape
    grid = model.patch_embed.grid_size
    prefix = tokens - grid[0] * grid[1]
    embedding = sincos_positions(grid=grid, width=width, prefix_tokens=prefix)
    model.pos_embed = nn.Parameter(embedding[None], requires_grad=False)
