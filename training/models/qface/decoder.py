"""The query-driven decoder (Q-Face, section 3.3, equations 4 to 7)."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from training.models.attention import DecoderBlock
from training.models.qface.pixel_decoder import PixelDecoder
from training.models.qface.queries import QueryGroup
from training.models.recomputation import computed
from training.tasks import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderOutput:
    """What one forward pass of the decoder gives."""

    groups: list[Tensor]  # the query features [B, N, D] of each group, the decoder's own first
    attention: Tensor | None = None  # [B, heads, N of all groups, M], where it was called for


class QueryDecoder(QueryGroup):
    """N learnable queries, one a label, look through the fused features and become N feature vectors.

    It is the group of the queries that were there first, with the blocks that all groups go through.
    """

    def __init__(
        self,
        *,
        tasks: Sequence[Task],
        width: int,
        blocks: Sequence[DecoderBlock],
        final_norm: bool = True,
        pixel_decoder: PixelDecoder | None = None,
        distributions: Collection[str] = (),
    ) -> None:
        super().__init__(tasks=tasks, width=width, pixel_decoder=pixel_decoder, distributions=distributions)
        self.blocks = nn.ModuleList(blocks)
        self._drops = any(block.drop_path.drop_prob for block in blocks)
        self.norm = nn.LayerNorm(width) if final_norm else nn.Identity()

    def forward(
        self,
        features: Tensor,
        *,
        feature_positions: Tensor,
        extensions: Sequence[QueryGroup] = (),
        attention_block: int | None = None,
    ) -> DecoderOutput:
        """Fused features [B, M, D] and their positions [M, D] -> the query features of each group.

        The first group is the decoder's own. It goes alone: no tensor of its way depends on how many
        extensions there are, so that the same calls compute its answers. Each extension attends to
        all groups before it and to itself, in a call of its own. `attention_block` also gives how much each
        query looks at each feature in that block.
        """
        groups: list[QueryGroup] = [self, *extensions]
        # Until they have seen a face, the queries are the same for all: the first self-attention is done
        # once, and is a constant in an export. Stochastic depth makes it each face's own.
        batch = features.shape[0] if self.training and self._drops else 1
        states = [group.queries.expand(batch, -1, -1) for group in groups]
        attention: Tensor | None = None
        for number, block in enumerate(self.blocks):
            assert isinstance(block, DecoderBlock)
            entering = list(zip(states, (group.query_positions for group in groups), strict=True))
            states = [
                computed(
                    block,
                    queries,
                    query_positions=positions,
                    features=features,
                    feature_positions=feature_positions,
                    earlier=entering[:i],
                )
                for i, (queries, positions) in enumerate(entering)
            ]
            if number == attention_block:
                weights = [
                    block.feature_attention(
                        queries,
                        query_positions=positions,
                        features=features,
                        feature_positions=feature_positions,
                        earlier=entering[:i],
                    )
                    for i, (queries, positions) in enumerate(entering)
                ]
                attention = torch.cat([part.expand(len(features), -1, -1, -1) for part in weights], dim=2)
        return DecoderOutput(groups=[self.norm(queries) for queries in states], attention=attention)

    if TYPE_CHECKING:  # nn.Module's own has no types
        __call__: Callable[..., DecoderOutput]
