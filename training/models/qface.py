"""Q-Face: one encoder, multi-stage fusion, and a learnable query for every label.

Sun, He, Shan, Han and Chen, "Task-adaptive Q-Face".
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.models.attention import DecoderBlock, FusionBlock
from training.models.config import CONFIGS as CONFIGS
from training.models.config import Config, FaceXFormerConfig, QFaceConfig
from training.models.decoder import QueryDecoder
from training.models.encoder import TimmEncoder
from training.models.facexformer.network import FaceXFormer
from training.models.fusion import MultiStageFusion
from training.models.multi_head import MultiHead
from training.models.network import PIXEL_MEAN as PIXEL_MEAN
from training.models.network import PIXEL_STD as PIXEL_STD
from training.models.network import FaceNetwork
from training.models.pixel_decoder import PixelDecoder
from training.models.queries import QueryGroup
from training.tasks import Kind, Task


class QFace(FaceNetwork):
    """Pixels in, raw answers of every task out.

    `extensions` are groups of queries that were learned after the rest (see `QFaceConfig.extensions`); by
    `freeze` everything but the last of them stands still.
    """

    def __init__(
        self,
        *,
        config: QFaceConfig,
        tasks: tuple[Task, ...],
        encoder: TimmEncoder,
        fusion: MultiStageFusion,
        decoder: QueryDecoder,
        extensions: Sequence[QueryGroup] = (),
    ) -> None:
        super().__init__(config=config, tasks=tasks, encoder=encoder)
        self.fusion = fusion
        self.decoder = decoder
        self.extensions = nn.ModuleList(extensions)
        self.frozen = False

    def forward(self, pixels: Tensor, *, masked: Tensor | None = None) -> dict[str, Tensor]:
        """RGB pixels 0..255 [B, S, S, 3], uint8 or float -> raw answers by task.

        Logits [B, queries]; of points, x and y in crop sides [B, K, 2], 0..1 inside the crop; of masks,
        logits [B, K, h, w] on a grid at least half as fine as the pixels. `masked`, indices [R], asks for the
        masks of these faces alone, [R, K, h, w]: few training faces have one, and they are dear.
        """
        images = self.normalized(pixels)
        laterals: list[Tensor] = []
        features = self.fusion(self.encoder(images, laterals=laterals))
        groups = self._groups()
        answers: dict[str, Tensor] = {}
        states = self.decoder(features, feature_positions=self.fusion.positions, extensions=groups[1:])
        for group, state in zip(groups, states, strict=True):
            places = None
            if group.pixel_decoder is not None:
                seen = (features, images, *laterals)
                if masked is not None:
                    seen = tuple(tensor[masked] for tensor in seen)
                places = group.pixel_decoder(seen[0], images=seen[1], laterals=seen[2:])
            answers |= group.read(state, places=places, masked=masked)
        return answers

    def cross_attention(self, pixels: Tensor, *, block: int = 0) -> Tensor:
        """How much each query looks at each fused token in one of the decoder's blocks (figures 4 and 5).

        Pixels [B, S, S, 3] -> [B, heads, N queries, M tokens]; each row sums to 1. Queries are in the order
        of `tasks`; `fusion.layout` says where the tokens lie.
        """
        found: list[Tensor] = []
        attention = self.decoder.blocks[block].cross_attention
        handle = attention.register_forward_pre_hook(
            lambda _, given: found.append(attention.attention(given[0], given[1]))
        )
        try:
            with torch.no_grad():
                self(pixels)
        finally:
            handle.remove()
        return torch.cat([weights.expand(len(pixels), -1, -1, -1) for weights in found], dim=2)

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


def build_model(config: Config) -> QFace | MultiHead | FaceXFormer:
    """The network of a configuration, with random weights (torch's generator decides them)."""
    if isinstance(config, FaceXFormerConfig):
        return FaceXFormer(config)
    masks = any(task.kind is Kind.MASK for group in config.groups for task in group)
    encoder = TimmEncoder(
        config.encoder,
        input_size=config.input_size,
        stages=config.stages,
        drop_path=config.drop_path,
        options=config.encoder_options,
        laterals=config.mask_laterals if masks else (),
    )
    tasks = tuple(itertools.chain(*config.groups))
    if config.head == "pooled":
        return MultiHead(config=config, tasks=tasks, encoder=encoder)
    shape = {"heads": config.heads, "mlp_ratio": config.mlp_ratio, "drop_path": config.drop_path}
    fusion = MultiStageFusion(
        stages=config.stages,
        channels=encoder.channels,
        grids=encoder.grids,
        prefix_tokens=encoder.prefix_tokens,
        width=config.width,
        block=FusionBlock(config.width, **shape) if config.fusion_block else None,
    )
    blocks = [DecoderBlock(config.width, **shape) for _ in range(config.decoder_blocks)]

    def pixel_decoder(group: Sequence[Task]) -> PixelDecoder | None:
        if all(task.kind is not Kind.MASK for task in group):
            return None
        return PixelDecoder(
            layout=fusion.layout,
            laterals=list(zip(encoder.lateral_channels, encoder.lateral_grids, strict=True)),
            fused_width=config.width,
            width=config.mask_width,
            input_size=config.input_size,
        )

    first, *later = config.groups
    decoder = QueryDecoder(
        tasks=first,
        width=config.width,
        blocks=blocks,
        final_norm=config.final_norm,
        pixel_decoder=pixel_decoder(first),
    )
    extensions = [
        QueryGroup(tasks=group, width=config.width, pixel_decoder=pixel_decoder(group)) for group in later
    ]
    return QFace(
        config=config, tasks=tasks, encoder=encoder, fusion=fusion, decoder=decoder, extensions=extensions
    )


def build_qface(config: Config) -> QFace:
    """`build_model` for a configuration with queries; ValueError for one without."""
    model = build_model(config)
    if not isinstance(model, QFace):
        raise ValueError(
            f"{config.name} makes a {type(model).__name__}, which has no queries: use build_model"
        )
    return model
