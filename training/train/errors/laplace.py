"""Laplace's distribution around an answer: how likely the truth is.

A truth is given as the range [least, most] of its distance from the answer, of equal ends where the label is
exact (training.kinds.base.Kind.error_ranges).
"""

import torch
from torch import Tensor


def unlikelihood(ranges: Tensor, expected: Tensor) -> Tensor:
    """Minus the logarithm of how likely each range [..., 2] is, where `expected` errors [...] are b.

    log b + |e| / b of an exact label; of a range the same of the mean density in it.
    """
    least, most = ranges.unbind(-1)
    width = most - least
    far, near = torch.maximum(least.abs(), most.abs()), torch.minimum(least.abs(), most.abs())
    exact = expected.log() + far / expected
    # Both ends on one side of the answer: half of exp(-near / b) - exp(-far / b); else what both tails leave.
    spread = width.clamp(min=torch.finfo(width.dtype).tiny)
    beside = near / expected - (-torch.expm1(-spread / expected)).log()
    tails = torch.expm1(-least.abs() / expected) + torch.expm1(-most.abs() / expected)
    around = -(-tails).clamp(min=torch.finfo(width.dtype).tiny).log()
    in_range = torch.where((least < 0) & (most > 0), around, beside) + spread.log()
    return torch.where(width > 0, in_range, exact)
