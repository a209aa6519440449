"""Bilinear resizing that exports to the same numbers as it computes."""

from torch import Tensor
from torch.nn import functional


def resized(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Maps [B, C, h, w] brought to another grid, bilinearly between the centres of their cells."""
    factors = [new / old for new, old in zip(grid, maps.shape[2:], strict=True)]
    if all((64 * factor).is_integer() for factor in factors):
        # By factors, the same numbers, because an export by sizes has to compute the batch's. Only by those
        # that fp32 holds: a file has no other, and seven times 13/7 would come out as twelve.
        return functional.interpolate(maps, scale_factor=factors, mode="bilinear", align_corners=False)
    return functional.interpolate(maps, size=grid, mode="bilinear", align_corners=False)
