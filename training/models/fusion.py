"""Multi-stage feature fusion (Q-Face, section 3.2, equation 3)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.models.attention import FusionBlock
from training.models.positions import sincos_positions


class MultiStageFusion(nn.Module):
    """F* = Transformer(Concat(F_1, F_2, F_3) + SE + PE), with the stages side by side along the tokens.

    The paper's encoder is 768 wide and its fused features are 1024 wide, without a word on how one
    becomes the other: each stage is normalised and projected linearly here.
    """

    positions: Tensor

    def __init__(
        self,
        *,
        channels: Sequence[int],
        grids: Sequence[tuple[int, int]],
        prefix_tokens: int,
        width: int,
        block: FusionBlock,
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(c), nn.Linear(c, width)) for c in channels
        )
        self.stage_embedding = nn.Parameter(torch.randn(len(channels), width) * 0.02)
        positions = [sincos_positions(grid=grid, width=width, prefix_tokens=prefix_tokens) for grid in grids]
        self.register_buffer("positions", torch.cat(positions), persistent=False)
        self.block = block

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Tokens [B, N_i, C_i] a stage -> F* [B, sum of N_i, width]."""
        projected = [
            projection(tokens) + embedding
            for projection, tokens, embedding in zip(
                self.projections, stages, self.stage_embedding, strict=True
            )
        ]
        return self.block(torch.cat(projected, dim=1) + self.positions)
