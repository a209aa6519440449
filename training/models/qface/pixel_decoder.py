"""From fused features back to places: what the mask tasks' queries are held against.

The paper has no mask task. As in MaskFormer (Cheng et al. 2021), a class is a query's vector and its mask
is that vector's product with every place's features; the features come from a pyramid (Lin et al. 2017)
over the fused stages.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.qface.fusion import StageTokens
from training.models.resizing import resized


class PixelDecoder(nn.Module):
    """Fused tokens, and finer maps of the encoder, to features [B, width, h, w] of S/2 places a side.

    `laterals` are the channels and grid of finer maps of the encoder. Without any (a ViT has none) two
    strided convolutions over the picture itself show where edges are. There is no normalisation behind a
    convolution: tokens enter normalised, and a batch's other faces change nothing.
    """

    def __init__(
        self,
        *,
        layout: Sequence[StageTokens],
        laterals: Sequence[tuple[int, tuple[int, int]]],
        fused_width: int,
        width: int,
        input_size: int,
    ) -> None:
        super().__init__()
        self.width = width
        self.layout = tuple(layout)
        self.norm = nn.LayerNorm(fused_width)
        self.from_tokens = nn.ModuleList(nn.Linear(fused_width, width) for _ in layout)
        self.own_laterals = not laterals
        if self.own_laterals:
            laterals = [(width // 2, _halved(input_size, 1)), (width, _halved(input_size, 2))]
            self.edges = nn.ModuleList(
                [
                    nn.Conv2d(3, width // 2, 3, stride=2, padding=1),
                    nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
                ]
            )
        self.lateral_grids = [grid for _, grid in laterals]
        self.from_laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels, _ in laterals)
        self.grids = _grids(
            [stage.grid for stage in layout] + self.lateral_grids, finest=_halved(input_size, 1)
        )
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in self.grids)

    def forward(self, fused: Tensor, *, images: Tensor, laterals: Sequence[Tensor]) -> Tensor:
        """Fused tokens [B, M, D], normalised pictures [B, 3, S, S], lateral maps -> [B, width, h, w]."""
        at: dict[tuple[int, int], list[Tensor]] = {grid: [] for grid in self.grids}
        tokens = self.norm(fused)
        for stage, projection in zip(self.layout, self.from_tokens, strict=True):
            # Of a slice as it lies, torch would choose the product by whether the weights learn.
            patches = tokens[:, stage.first + stage.prefix : stage.first + stage.count].contiguous()
            at[stage.grid].append(projection(patches).transpose(1, 2).unflatten(2, stage.grid))
        if self.own_laterals:
            laterals = self._edges(images)
        for grid, lateral, projection in zip(self.lateral_grids, laterals, self.from_laterals, strict=True):
            at[grid].append(projection(lateral))
        x: Tensor | None = None
        for grid, smooth in zip(self.grids, self.smooth, strict=True):
            coarser = [] if x is None else [resized(x, grid)]
            summed = functools.reduce(torch.add, [*coarser, *at[grid]])
            x = summed + functional.gelu(smooth(summed))
        assert x is not None
        return x

    def _edges(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for convolution in self.edges:
            images = functional.gelu(convolution(images))
            maps.append(images)
        return maps


def _halved(size: int, times: int) -> tuple[int, int]:
    """The grid that strided convolutions with padding leave of a picture."""
    for _ in range(times):
        size = (size + 1) // 2
    return size, size


def _grids(levels: Sequence[tuple[int, int]], *, finest: tuple[int, int]) -> list[tuple[int, int]]:
    """The pyramid's grids, the coarsest first: those given, and more where one would be skipped."""
    grids: list[tuple[int, int]] = []
    for grid in sorted({*levels, max(finest, *levels)}):
        while grids and 2 * grids[-1][0] + 1 < grid[0]:
            grids.append((2 * grids[-1][0], 2 * grids[-1][1]))
        grids.append(grid)
    return grids
