"""Masked image modelling: the encoder learns faces by painting in what was hidden (Q-Face, section 3.1).

A ViT sees the visible patches only (He et al. 2022). A convolutional encoder can't leave places out: it
sees the whole picture with one learned colour where patches are hidden (Xie et al. 2022). In both, a
transformer of two blocks reconstructs the hidden patches, and the loss is their L1 distance (equation 2).
"""

import torch
from timm.models import checkpoint_seq
from torch import Tensor, nn
from torch.nn import functional

from training.models.attention import FusionBlock
from training.models.encoder import TimmEncoder
from training.models.positions import sincos_positions
from training.models.recomputation import computed


class MaskedAutoencoder(nn.Module):
    """An encoder with the decoder that it is pretrained with, and thrown away from afterwards."""

    positions: Tensor

    def __init__(
        self,
        encoder: TimmEncoder,
        *,
        input_size: int,
        patch: int,
        width: int,
        heads: int,
        blocks: int = 2,
        normalised: bool = False,
    ) -> None:
        """`patch` pixels a side are hidden or shown together; of a ViT it must be the encoder's own.

        `normalised` reconstructs each patch with its own mean and variance taken out. ValueError for a
        patch that does not fit the picture or the encoder.
        """
        super().__init__()
        if input_size % patch:
            raise ValueError(f"patches of {patch} pixels do not tile {input_size}: choose a divisor")
        self.encoder, self.patch, self.normalised = encoder, patch, normalised
        self.side = input_size // patch  # patches a row
        vit = encoder.is_vit
        if vit and encoder.model.patch_embed.grid_size != (self.side, self.side):
            own = input_size // encoder.model.patch_embed.grid_size[0]
            raise ValueError(f"this encoder's patches are {own} pixels wide, not {patch}: name its own")
        channels = [encoder.model.embed_dim] if vit else encoder.channels
        self.projections = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(c), nn.Linear(c, width)) for c in channels
        )
        self.hidden = nn.Parameter(torch.zeros(width if vit else 3))  # what stands where a patch is hidden
        grid = (self.side, self.side)
        self.register_buffer("positions", sincos_positions(grid=grid, width=width), persistent=False)
        self.blocks = nn.Sequential(
            *(FusionBlock(width, heads=heads, mlp_ratio=4.0, drop_path=0.0) for _ in range(blocks))
        )
        self.norm = nn.LayerNorm(width)
        self.paint = nn.Linear(width, patch * patch * 3)

    def forward(self, images: Tensor, order: Tensor, *, visible: int) -> tuple[Tensor, Tensor]:
        """The loss [B] and the painted patches [B, N, patch * patch * 3].

        `images` [B, 3, S, S] as the encoder wants them; `order` int64 [B, N], a permutation of each
        face's patches, of which the first `visible` are shown. The loss is the mean L1 distance over a
        face's hidden patches.
        """
        tokens = (self._seen if self.encoder.is_vit else self._covered)(images, order, visible)
        tokens = tokens + self.positions
        for block in self.blocks:
            tokens = computed(block, tokens)
        painted = self.paint(self.norm(tokens))
        hidden = order[:, visible:, None].expand(-1, -1, painted.shape[2])
        target_patches = self.target_patches(images)
        return (painted.gather(1, hidden) - target_patches.gather(1, hidden)).abs().mean((1, 2)), painted

    def target_patches(self, images: Tensor) -> Tensor:
        """What to paint: the patches [B, N, patch * patch * 3] of images [B, 3, S, S], normalised or not."""
        patches = self.patches(images)
        if self.normalised:
            patches = functional.layer_norm(patches, patches.shape[-1:], eps=1e-6)
        return patches

    def patches(self, images: Tensor) -> Tensor:
        """The patches [B, N, patch * patch * 3] of images [B, 3, S, S], row by row."""
        grid = (self.side, self.patch)
        patches = torch.unflatten(torch.unflatten(images, 3, grid), 2, grid)
        return patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)

    def picture(self, patches: Tensor) -> Tensor:
        """Patches [B, N, patch * patch * 3] as images [B, 3, S, S]: the inverse of `patches`."""
        maps = torch.unflatten(patches, 2, (self.patch, self.patch, 3))
        maps = torch.unflatten(maps, 1, (self.side, self.side))
        return maps.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)

    def _seen(self, images: Tensor, order: Tensor, visible: int) -> Tensor:
        """A ViT's tokens [B, N, width] of the visible patches, and one token for all that are hidden."""
        vit = self.encoder.model
        prefix = self.encoder.prefix_tokens
        embedded = vit.patch_embed(images)
        places = vit.pos_embed[:, vit.pos_embed.shape[1] - embedded.shape[1] :]
        shown = order[:, :visible, None].expand(-1, -1, embedded.shape[2])
        tokens = (embedded + places).gather(1, shown)
        if prefix:
            first = vit.cls_token + vit.pos_embed[:, :1]
            tokens = torch.cat([first.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = vit.norm_pre(tokens)
        tokens = checkpoint_seq(vit.blocks, tokens) if vit.grad_checkpointing else vit.blocks(tokens)
        tokens = tokens[:, prefix:]
        # Back to their places; the order's inverse is where each patch went.
        (projection,) = self.projections
        projected = projection(tokens)
        hidden = self.hidden.to(projected.dtype).expand(len(tokens), order.shape[1] - visible, -1)
        back = order.argsort(dim=1)[..., None].expand(-1, -1, projected.shape[2])
        return torch.cat([projected, hidden], dim=1).gather(1, back)

    def _covered(self, images: Tensor, order: Tensor, visible: int) -> Tensor:
        """A convolutional encoder's stages, brought to one grid of patches and added: [B, N, width]."""
        covered = torch.zeros(order.shape, device=images.device)
        covered.scatter_(1, order[:, visible:], 1.0)
        mask = torch.unflatten(covered, 1, (1, self.side, self.side)).repeat_interleave(self.patch, 2)
        mask = mask.repeat_interleave(self.patch, 3)
        stages = self.encoder(images * (1 - mask) + self.hidden[:, None, None] * mask).stages
        total: Tensor | None = None
        for projection, stage, grid in zip(self.projections, stages, self.encoder.grids, strict=True):
            maps = projection(stage).transpose(1, 2).unflatten(2, grid)
            maps = functional.interpolate(
                maps, size=(self.side, self.side), mode="bilinear", align_corners=False
            )
            total = maps if total is None else total + maps
        assert total is not None
        return total.flatten(2).transpose(1, 2)
