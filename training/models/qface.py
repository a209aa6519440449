"""Q-Face: one encoder, multi-stage fusion, and a learnable query for every label.

Sun, He, Shan, Han and Chen, "Task-adaptive Q-Face". Configurations: `qface_base` is the paper's
(ViT-B/16 at 224 pixels, width 1024); `qface_tiny` is the one that ships.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from training.models.attention import DecoderBlock, FusionBlock, MultiHeadAttention
from training.models.decoder import QueryDecoder
from training.models.encoder import TimmEncoder
from training.models.fusion import MultiStageFusion
from training.tasks import QFACE_TASKS, Task, select

# ImageNet's, which timm's encoders expect.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, kw_only=True)
class QFaceConfig:
    """Everything that the network's shape depends on."""

    name: str
    encoder: str  # a timm model with intermediate features
    input_size: int  # side of the square crop in pixels
    stages: tuple[int, ...]  # which of the encoder's blocks or stages are fused, from 0 as timm counts
    width: int  # of fused features and queries
    heads: int  # attention heads in fusion and decoder (not in the paper)
    mlp_ratio: float = 4.0  # hidden width of feed-forward layers over `width` (not in the paper)
    decoder_blocks: int = 2  # section 3.3
    drop_path: float = 0.0  # stochastic depth; the paper fine-tunes with 0.2
    tasks: tuple[str, ...] = QFACE_TASKS
    encoder_options: dict[str, Any] = dataclasses.field(default_factory=dict)  # more arguments for timm

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of 4 and of heads ({self.heads})")
        if not self.stages or list(self.stages) != sorted(set(self.stages)):
            raise ValueError(f"stages {self.stages} must be increasing and not empty")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path {self.drop_path} must be in [0, 1)")
        select(self.tasks)


CONFIGS: dict[str, QFaceConfig] = {
    config.name: config
    for config in (
        QFaceConfig(
            name="qface_base",
            encoder="vit_base_patch16_224",
            input_size=224,
            stages=(3, 7, 11),
            width=1024,
            heads=16,
            drop_path=0.2,
        ),
        # A convolutional encoder learns more from the tens of thousands of faces at hand than a plain
        # ViT does. Stages of stride 8, 16 and 32 take the place of blocks 4, 8 and 12.
        QFaceConfig(
            name="qface_tiny",
            encoder="resnet10t",
            input_size=112,
            stages=(2, 3, 4),
            width=192,
            heads=6,
            encoder_options={"zero_init_last": False},  # one block a stage: each has to work from the start
        ),
    )
}


class QFace(nn.Module):
    """Pixels in, logits of every task out."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        config: QFaceConfig,
        tasks: tuple[Task, ...],
        encoder: TimmEncoder,
        fusion: MultiStageFusion,
        decoder: QueryDecoder,
    ) -> None:
        super().__init__()
        self.config = config
        self.tasks = tasks
        self.encoder = encoder
        self.fusion = fusion
        self.decoder = decoder
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD) * 255, persistent=False)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """RGB pixels 0..255 [B, S, S, 3], uint8 or float -> logits [B, queries] a task, by name."""
        features = self.fusion(self.encoder(self.normalized(pixels)))
        logits = self.decoder(features, feature_positions=self.fusion.positions)
        parts = logits.split([task.queries for task in self.tasks], dim=1)
        return {task.name: part for task, part in zip(self.tasks, parts, strict=True)}

    def normalized(self, pixels: Tensor) -> Tensor:
        """Pixels 0..255 [B, S, S, 3] as the encoder wants them: [B, 3, S, S] of about unit variance."""
        # Row by row: engines work on long rows at once, but on three channels at a time. As floats before
        # anything else: TensorRT reshapes no UINT8.
        columns = pixels.shape[2]
        mean, std = self.mean.repeat(columns), self.std.repeat(columns)
        rows = (pixels.float().flatten(2) - mean) / std
        return rows.unflatten(2, (columns, 3)).permute(0, 3, 1, 2)

    def set_explicit_attention(self, explicit: bool = True) -> None:
        """Attention from single operations, for export and for counting FLOPs; or fused."""
        for module in self.modules():
            if isinstance(module, MultiHeadAttention):
                module.explicit = explicit
            elif hasattr(module, "fused_attn"):
                module.fused_attn = not explicit


def build_qface(config: QFaceConfig) -> QFace:
    """The network of a configuration, with random weights (torch's generator decides them)."""
    tasks = select(config.tasks)
    encoder = TimmEncoder(
        config.encoder,
        input_size=config.input_size,
        stages=config.stages,
        drop_path=config.drop_path,
        options=config.encoder_options,
    )
    shape = {"heads": config.heads, "mlp_ratio": config.mlp_ratio, "drop_path": config.drop_path}
    fusion = MultiStageFusion(
        channels=encoder.channels,
        grids=encoder.grids,
        prefix_tokens=encoder.prefix_tokens,
        width=config.width,
        block=FusionBlock(config.width, **shape),
    )
    decoder = QueryDecoder(
        queries=sum(task.queries for task in tasks),
        width=config.width,
        blocks=[DecoderBlock(config.width, **shape) for _ in range(config.decoder_blocks)],
    )
    return QFace(config=config, tasks=tasks, encoder=encoder, fusion=fusion, decoder=decoder)
