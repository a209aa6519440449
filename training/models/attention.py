"""Multi-head attention and the two transformer blocks made of it (Q-Face, section 3.3; Vaswani 2017)."""

from collections.abc import Sequence

import torch
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from torch import Tensor, nn
from torch.nn import functional

from training.models.recomputation import RecomputableBlock


class MultiHeadAttention(nn.Module):
    """MultiHead(query, key, value) of equations 4 and 5; its heads share `inner_width` (default: `width`).

    `explicit` computes softmax(q k^T / sqrt(d)) v from single operations, which the exporter and the
    FLOP counter can see; otherwise torch's fused kernel runs. Both give the same values.
    """

    def __init__(self, width: int, *, heads: int, inner_width: int | None = None) -> None:
        super().__init__()
        inner = inner_width or width
        if heads < 1 or inner % heads:
            raise ValueError(f"a width of {inner} can't be split into {heads} heads")
        self.heads = heads
        self.scale = (inner // heads) ** -0.5
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(width, inner)
        self.value = nn.Linear(width, inner)
        self.out = nn.Linear(inner, width)
        self.explicit = False

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[B or 1, N, D], [B, M, D], [B, M, D] -> [B, N, D]: a query may be the same for every face."""
        q, k, v = (self._split(f(x)) for f, x in ((self.query, query), (self.key, key), (self.value, value)))
        if self.explicit:
            weights = torch.softmax((q * self.scale) @ k.transpose(-2, -1), dim=-1)
            mixed = weights @ v
        else:
            mixed = functional.scaled_dot_product_attention(q.expand(k.shape[0], -1, -1, -1), k, v)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def weights(self, query: Tensor, key: Tensor) -> Tensor:
        """How much each query [B or 1, N, D] looks at each key [B, M, D]: [B, heads, N, M], rows sum to 1."""
        q, k = self._split(self.query(query)), self._split(self.key(key))
        return torch.softmax((q * self.scale) @ k.transpose(-2, -1), dim=-1)

    def _split(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, 2, (self.heads, -1)).transpose(1, 2)


class FusionBlock(RecomputableBlock):
    """The standard ViT block (pre-norm self-attention and feed-forward) of equation 3."""

    def __init__(self, width: int, *, heads: int, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads=heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, int(width * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        y = self.norm1(x)
        x = x + self.drop_path(self.attention(y, y, y))
        mixed: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return mixed


class DecoderBlock(RecomputableBlock):
    """One transformer block of the query-driven decoder, equations 4 to 6.

    The paper's equations leave out residual connections and normalisation; here each of the three
    sublayers is pre-norm with a residual. A hat marks vectors with their position embedding added:
    queries and keys get it, values don't.
    """

    def __init__(self, width: int, *, heads: int, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.self_attention = MultiHeadAttention(width, heads=heads)
        self.norm2 = nn.LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads=heads)
        self.norm3 = nn.LayerNorm(width)
        self.mlp = Mlp(width, int(width * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(
        self,
        queries: Tensor,
        *,
        query_positions: Tensor,
        features: Tensor,
        feature_positions: Tensor,
        earlier: Sequence[tuple[Tensor, Tensor]] = (),
    ) -> Tensor:
        """Queries [B, N, D] and features [B, M, D], with positions [N, D] and [M, D] -> [B, N, D].

        Queries that are the same for every face may be [1, N, D]: their self-attention is then done once.
        `earlier` are queries, with their positions, that entered this block before these and take no
        notice of them: these attend to them, and then to themselves (see QFaceConfig.extensions).
        """
        queries = self._after_self_attention(queries, query_positions=query_positions, earlier=earlier)
        hat = self.norm2(queries) + query_positions
        keys = features + feature_positions
        queries = queries + self.drop_path(self.cross_attention(hat, keys, features))  # equation 5
        mixed: Tensor = queries + self.drop_path(self.mlp(self.norm3(queries)))  # equation 6
        return mixed

    def feature_attention(
        self,
        queries: Tensor,
        *,
        query_positions: Tensor,
        features: Tensor,
        feature_positions: Tensor,
        earlier: Sequence[tuple[Tensor, Tensor]] = (),
    ) -> Tensor:
        """How much each query looks at each feature in equation 5, [B or 1, heads, N, M]. Takes forward's."""
        queries = self._after_self_attention(queries, query_positions=query_positions, earlier=earlier)
        hat = self.norm2(queries) + query_positions
        return self.cross_attention.weights(hat, features + feature_positions)

    def _after_self_attention(
        self, queries: Tensor, *, query_positions: Tensor, earlier: Sequence[tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Equation 4: [B, N, D] -> [B, N, D]."""
        normed = self.norm1(queries)
        hat = normed + query_positions
        keys, values = hat, normed
        if earlier:
            before = [self.norm1(others) for others, _ in earlier]
            hats = [others + positions for others, (_, positions) in zip(before, earlier, strict=True)]
            keys, values = torch.cat([*hats, hat], dim=1), torch.cat([*before, normed], dim=1)
        mixed: Tensor = queries + self.drop_path(self.self_attention(hat, keys, values))
        return mixed
