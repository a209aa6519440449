"""The query-driven decoder (Q-Face, section 3.3, equations 4 to 7)."""

from collections.abc import Sequence

from torch import Tensor, nn

from training.models.attention import DecoderBlock
from training.models.pixel_decoder import PixelDecoder
from training.models.queries import QueryGroup
from training.tasks import Task


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
    ) -> None:
        super().__init__(tasks=tasks, width=width, pixel_decoder=pixel_decoder)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width) if final_norm else nn.Identity()

    def forward(
        self, features: Tensor, *, feature_positions: Tensor, extensions: Sequence[QueryGroup] = ()
    ) -> list[Tensor]:
        """Fused features [B, M, D] and their positions [M, D] -> the query features [B, N, D] of each group.

        The first group is the decoder's own. It goes alone: no tensor of its way depends on how many
        extensions there are, so that its answers stay the same to the last bit. Each extension attends to
        all groups before it and to itself, in a call of its own.
        """
        groups: list[QueryGroup] = [self, *extensions]
        # Until they have seen a face, the queries are the same for all: the first self-attention is done
        # once, and is a constant in an export. In training, stochastic depth makes it each face's own.
        batch = features.shape[0] if self.training else 1
        states = [group.queries.expand(batch, -1, -1) for group in groups]
        for block in self.blocks:
            entering = list(zip(states, (group.query_positions for group in groups), strict=True))
            states = [
                block(
                    queries,
                    query_positions=positions,
                    features=features,
                    feature_positions=feature_positions,
                    earlier=entering[:i],
                )
                for i, (queries, positions) in enumerate(entering)
            ]
        return [self.norm(queries) for queries in states]
