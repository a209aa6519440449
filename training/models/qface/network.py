"""The Q-Face network, put together from its parts (training.models.qface.build)."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.models.encoder import TimmEncoder
from training.models.network import FaceNetwork, LogitRows, ModelOutput
from training.models.qface.config import QFaceConfig
from training.models.qface.decoder import QueryDecoder
from training.models.qface.error_heads import ErrorHeads
from training.models.qface.fusion import MultiStageFusion
from training.models.qface.queries import QueryGroup
from training.tasks import Task


class QFace(FaceNetwork):
    """Pixels in, raw answers of every task out, by a learnable query for every label.

    `extensions` are groups of queries that were learned after the rest (see `QFaceConfig.extensions`); by
    `freeze` everything but the last of them stands still.
    """

    config: QFaceConfig

    def __init__(
        self,
        *,
        config: QFaceConfig,
        tasks: tuple[Task, ...],
        encoder: TimmEncoder,
        fusion: MultiStageFusion,
        decoder: QueryDecoder,
        extensions: Sequence[QueryGroup] = (),
        error_heads: ErrorHeads | None = None,
    ) -> None:
        super().__init__(config=config, tasks=tasks, encoder=encoder)
        self.fusion = fusion
        self.decoder = decoder
        self.extensions = nn.ModuleList(extensions)
        self.error_heads = error_heads
        self.frozen = False

    def forward(
        self, pixels: Tensor, *, masked_rows: Tensor | None = None, attention_block: int | None = None
    ) -> ModelOutput:
        """As any network's; `attention_block` adds that block's attention (see `cross_attention`)."""
        images = self.normalized(pixels)
        encoded = self.encoder(images)
        fused = self.fusion(encoded.stages)
        groups = self._groups()
        decoded = self.decoder(
            fused,
            feature_positions=self.fusion.positions,
            extensions=groups[1:],
            attention_block=attention_block,
        )
        logits: dict[str, Tensor] = {}
        queries: dict[str, Tensor] = {}
        for group, states in zip(groups, decoded.groups, strict=True):
            places = None
            if group.pixel_decoder is not None:
                seen = (fused, images, *encoded.laterals)
                if masked_rows is not None:
                    seen = tuple(tensor[masked_rows] for tensor in seen)
                places = group.pixel_decoder(seen[0], images=seen[1], laterals=seen[2:])
            logits |= group.read(states, places=places, masked_rows=masked_rows)
            queries |= group.by_task(states)
        return ModelOutput(
            logits=logits,
            errors={} if self.error_heads is None else self.error_heads(queries),
            features=encoded.stages[-1],
            shared=fused,
            queries=queries,
            mask_rows=masked_rows,
            attention=decoded.attention,
        )

    def cross_attention(self, pixels: Tensor, *, block: int = 0) -> Tensor:
        """How much each query looks at each fused token in one of the decoder's blocks (figures 4 and 5).

        Pixels [B, S, S, 3] -> [B, heads, N queries, M tokens]; each row sums to 1. Queries are in the order
        of `tasks`; `fusion.layout` gives each token's place.
        """
        with torch.no_grad():
            attention = self(pixels, attention_block=block).attention
        assert attention is not None
        return attention

    @property
    def error_tasks(self) -> tuple[str, ...]:
        return self.config.errors

    def logit_rows(self, task: Task) -> LogitRows | None:
        for group in self._groups():
            if task.name in (other.name for other in group.tasks):
                return group.logit_rows(task)
        return None

    def freeze(self) -> None:
        """Holds everything but the last extension, batch normalisation and stochastic depth included."""
        if not self.extensions:
            raise ValueError("a model without an extension has nothing to learn when the rest is frozen")
        self.frozen = True
        self.requires_grad_(False)
        self.extensions[-1].requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> "QFace":
        """As of any module, but what is frozen stays in eval mode."""
        super().train(mode)
        if self.frozen:
            for part in itertools.chain((self.encoder, self.fusion, self.decoder), self.extensions[:-1]):
                part.eval()
        return self

    def _groups(self) -> list[QueryGroup]:
        return [self.decoder, *(group for group in self.extensions if isinstance(group, QueryGroup))]
