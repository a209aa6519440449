"""The query-driven decoder (Q-Face, section 3.3, equations 4 to 7)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.models.attention import DecoderBlock


class QueryDecoder(nn.Module):
    """N learnable queries, one a label, look through the fused features and become N logits.

    The linear map f of equation 7 has a weight vector and a bias for each label, as in Query2Label,
    on which the paper's decoder rests.
    """

    def __init__(self, *, queries: int, width: int, blocks: Sequence[DecoderBlock]) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.query_positions = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.weight = nn.Parameter(torch.randn(queries, width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(queries))

    def forward(self, features: Tensor, *, feature_positions: Tensor) -> Tensor:
        """Fused features [B, M, D] and their positions [M, D] -> logits [B, N]."""
        # Until they have seen a face, the queries are the same for all: the first self-attention is done
        # once, and is a constant in an export. In training, stochastic depth makes it each face's own.
        queries = self.queries.expand(features.shape[0] if self.training else 1, -1, -1)
        for block in self.blocks:
            queries = block(
                queries,
                query_positions=self.query_positions,
                features=features,
                feature_positions=feature_positions,
            )
        # The sum over the width is a product with ones. As a sum it is right in torch and wrong in OpenVINO
        # 2026.4, which then adds the bias of another label from the batch's second row on.
        weighted = self.norm(queries) * self.weight
        return (weighted @ weighted.new_ones(weighted.shape[-1], 1)).squeeze(-1) + self.bias
