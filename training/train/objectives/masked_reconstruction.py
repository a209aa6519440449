"""The objective of pretraining: masked image modelling (Q-Face, section 3.1)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.models.masked_autoencoder import MaskedAutoencoder
from training.models.network import PIXEL_MEAN, PIXEL_STD
from training.train.objectives.objective import Objective

LOSS = "masked_l1"


class MaskedReconstruction(Objective):
    """Equation 2, as the mean L1 distance over hidden patches."""

    mean: Tensor
    std: Tensor

    def __init__(self, autoencoder: MaskedAutoencoder, *, mask_ratio: float) -> None:
        """`mask_ratio` is the part of a face's patches that is hidden."""
        super().__init__()
        self.autoencoder = autoencoder
        self.input_size = autoencoder.side * autoencoder.patch
        self.patches = autoencoder.side**2
        self.visible = max(1, round(self.patches * (1 - mask_ratio)))
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD) * 255, persistent=False)

    def network(self) -> nn.Module:
        return self.autoencoder

    def images(self, pixels: Tensor) -> Tensor:
        """Pixels uint8 [B, S, S, 3] as the encoder wants them [B, 3, S, S]."""
        return ((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2)

    def pixels(self, images: Tensor) -> Tensor:
        """The inverse of `images`: [B, S, S, 3], not rounded and maybe out of 0 to 255."""
        return images.permute(0, 2, 3, 1) * self.std + self.mean

    def counts(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {LOSS: torch.tensor(float(len(batch["pixels"])), device=batch["pixels"].device)}

    def sums(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        loss, _ = self.autoencoder(self.images(batch["pixels"]), batch["order"], visible=self.visible)
        return {LOSS: loss.sum()}
