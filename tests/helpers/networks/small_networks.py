"""A small Q-Face with a ViT, and made-up pixels."""

import torch

from training.models import QFaceConfig

SMALL_VIT = QFaceConfig(
    name="small_vit",
    encoder="vit_tiny_patch16_224",
    input_size=64,
    stages=(0, 1, 3),
    width=32,
    heads=4,
    encoder_options={"depth": 4, "embed_dim": 48, "num_heads": 3},
)


def made_pixels(count: int, size: int) -> torch.Tensor:
    """uint8 [count, size, size, 3], the same each time."""
    return torch.randint(
        0, 256, (count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
