"""The two-way transformer of Segment Anything (Kirillov et al. 2023, appendix A), as FaceXFormer uses it.

Tokens and the face's features take turns in looking at each other: tokens attend to themselves, then to
the features, and the features attend to the tokens.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.attention import MultiHeadAttention


class FourierPositions(nn.Module):
    """Random Fourier features of a square map's cell centres (Tancik et al. 2020): [1, side^2, width]."""

    gaussian: Tensor

    def __init__(self, width: int, *, side: int) -> None:
        super().__init__()
        self.side = side
        self.register_buffer("gaussian", torch.randn(2, width // 2))

    def forward(self) -> Tensor:
        centres = (torch.arange(self.side, device=self.gaussian.device) + 0.5) / self.side * 2 - 1
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        angles = 2 * math.pi * (torch.stack([x, y], dim=-1).flatten(0, 1) @ self.gaussian)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)[None]


class TwoWayBlock(nn.Module):
    """Self-attention of tokens, tokens to features, feed-forward, features to tokens; each post-norm.

    The first block's self-attention takes neither positions nor a residual, as in the released network.
    """

    def __init__(self, width: int, *, heads: int, hidden: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attention = MultiHeadAttention(width, heads=heads)
        self.tokens_to_features = MultiHeadAttention(width, heads=heads, inner_width=width // 2)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.features_to_tokens = MultiHeadAttention(width, heads=heads, inner_width=width // 2)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(width) for _ in range(4))

    def forward(
        self, tokens: Tensor, features: Tensor, *, token_positions: Tensor, feature_positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens [B, N, D] and features [B, M, D] with their positions -> both, renewed."""
        if self.first:
            tokens = self.self_attention(tokens, tokens, tokens)
        else:
            query = tokens + token_positions
            tokens = tokens + self.self_attention(query, query, tokens)
        tokens = self.norm1(tokens)
        keys = features + feature_positions
        tokens = self.norm2(tokens + self.tokens_to_features(tokens + token_positions, keys, features))
        tokens = self.norm3(tokens + self.linear2(functional.relu(self.linear1(tokens))))
        attended = self.features_to_tokens(keys, tokens + token_positions, tokens)
        return tokens, self.norm4(features + attended)


class TwoWayTransformer(nn.Module):
    """The blocks, and a last look of the tokens at the features."""

    def __init__(self, width: int, *, heads: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TwoWayBlock(width, heads=heads, hidden=hidden, first=i == 0) for i in range(blocks)
        )
        self.last = MultiHeadAttention(width, heads=heads, inner_width=width // 2)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, tokens: Tensor, features: Tensor, *, feature_positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens [B, N, D], features [B, M, D] -> both; the tokens as they came are their own positions."""
        positions = tokens
        for block in self.blocks:
            tokens, features = block(
                tokens, features, token_positions=positions, feature_positions=feature_positions
            )
        attended = self.last(tokens + positions, features + feature_positions, features)
        return self.norm(tokens + attended), features
