"""Multi-stage feature fusion (Q-Face, section 3.2, equation 3)."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.models.attention import FusionBlock
from training.models.positions import sincos_positions
from training.models.recomputation import computed


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageTokens:
    """Where one stage's tokens lie among the M fused ones."""

    stage: int  # the encoder's, from 0 as timm counts
    first: int  # of its tokens
    prefix: int  # how many of them, at the front, stand for no place ([CLS])
    grid: tuple[int, int]  # rows and columns of the others, which lie row by row

    @property
    def count(self) -> int:
        """All its tokens."""
        return self.prefix + self.grid[0] * self.grid[1]


class MultiStageFusion(nn.Module):
    """F* = Transformer(Concat(F_1, F_2, F_3) + SE + PE), with the stages side by side along the tokens.

    The paper's encoder is 768 wide and its fused features are 1024 wide, without a word on how one
    becomes the other: each stage is normalised and projected linearly here. Without a block, stages are
    only laid side by side.

    Attribute: `layout`, where each stage's tokens lie.
    """

    positions: Tensor

    def __init__(
        self,
        *,
        stages: Sequence[int],
        channels: Sequence[int],
        grids: Sequence[tuple[int, int]],
        prefix_tokens: int,
        width: int,
        block: FusionBlock | None,
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(c), nn.Linear(c, width)) for c in channels
        )
        self.stage_embedding = nn.Parameter(torch.randn(len(channels), width) * 0.02)
        positions = [sincos_positions(grid=grid, width=width, prefix_tokens=prefix_tokens) for grid in grids]
        self.register_buffer("positions", torch.cat(positions), persistent=False)
        self.block = nn.Identity() if block is None else block
        self.layout: list[StageTokens] = []
        for stage, grid in zip(stages, grids, strict=True):
            first = self.layout[-1].first + self.layout[-1].count if self.layout else 0
            self.layout.append(StageTokens(stage=stage, first=first, prefix=prefix_tokens, grid=grid))

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Tokens [B, N_i, C_i] a stage -> F* [B, sum of N_i, width]."""
        projected = [
            projection(tokens) + embedding
            for projection, tokens, embedding in zip(
                self.projections, stages, self.stage_embedding, strict=True
            )
        ]
        return computed(self.block, torch.cat(projected, dim=1) + self.positions)
