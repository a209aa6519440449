"""Puts a Q-Face, or the baseline that its configuration names, together from its parts."""

import itertools
from collections.abc import Callable, Sequence

import torch

from training.kinds import kind_of
from training.models.attention import DecoderBlock, FusionBlock
from training.models.config import NetworkConfig
from training.models.encoder import TimmEncoder
from training.models.qface.config import QFaceConfig
from training.models.qface.decoder import QueryDecoder
from training.models.qface.error_heads import ErrorHead, ErrorHeads
from training.models.qface.fusion import MultiStageFusion
from training.models.qface.multi_head import MultiHead
from training.models.qface.network import QFace
from training.models.qface.pixel_decoder import PixelDecoder
from training.models.qface.queries import QueryGroup
from training.task_type import Task


def build(config: QFaceConfig) -> QFace | MultiHead:
    """The network of a configuration, with random weights (torch's generator decides them)."""
    masks = any(kind_of(task).needs_places for group in config.groups for task in group)
    encoder = TimmEncoder(
        config.encoder,
        input_size=config.input_size,
        stages=config.stages,
        drop_path=config.drop_path,
        options=config.encoder_options,
        laterals=config.mask_laterals if masks else (),
    )
    return _BEHIND_ENCODER[config.head](config, encoder)


def build_qface(config: NetworkConfig) -> QFace:
    """`build` for a configuration with queries; ValueError for one without."""
    if isinstance(config, QFaceConfig):
        model = build(config)
        if isinstance(model, QFace):
            return model
    raise ValueError(f"{config.name} makes a network that has no queries: use build_model")


def _pooled(config: QFaceConfig, encoder: TimmEncoder) -> MultiHead:
    return MultiHead(config=config, tasks=tuple(itertools.chain(*config.groups)), encoder=encoder)


def _with_queries(config: QFaceConfig, encoder: TimmEncoder) -> QFace:
    fusion_block = (
        FusionBlock(config.width, heads=config.heads, mlp_ratio=config.mlp_ratio, drop_path=config.drop_path)
        if config.fusion_block
        else None
    )
    fusion = MultiStageFusion(
        stages=config.stages,
        channels=encoder.channels,
        grids=encoder.grids,
        prefix_tokens=encoder.prefix_tokens,
        width=config.width,
        block=fusion_block,
    )
    blocks = [
        DecoderBlock(config.width, heads=config.heads, mlp_ratio=config.mlp_ratio, drop_path=config.drop_path)
        for _ in range(config.decoder_blocks)
    ]

    def pixel_decoder(group: Sequence[Task]) -> PixelDecoder | None:
        if not any(kind_of(task).needs_places for task in group):
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
        distributions=config.distributions,
    )
    extensions = [
        QueryGroup(
            tasks=group,
            width=config.width,
            pixel_decoder=pixel_decoder(group),
            distributions=config.distributions,
        )
        for group in later
    ]
    with torch.random.fork_rng(devices=[]):  # whatever is drawn after is the same without errors
        error_heads = _error_heads(config) if config.errors else None
    return QFace(
        config=config,
        tasks=tuple(itertools.chain(*config.groups)),
        encoder=encoder,
        fusion=fusion,
        decoder=decoder,
        extensions=extensions,
        error_heads=error_heads,
    )


def _error_heads(config: QFaceConfig) -> ErrorHeads:
    tasks = {task.name: task for task in itertools.chain(*config.groups)}
    heads = {}
    for name in config.errors:
        form = kind_of(tasks[name]).error_form(tasks[name], input_size=config.input_size)
        assert form is not None  # held by the configuration
        heads[name] = ErrorHead(form=form, queries=tasks[name].queries, width=config.width)
    return ErrorHeads(heads)


_BEHIND_ENCODER: dict[str, Callable[[QFaceConfig, TimmEncoder], QFace | MultiHead]] = {
    "queries": _with_queries,
    "pooled": _pooled,
}
