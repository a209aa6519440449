"""Laplace's distribution around an answer: how likely the truth is, and how far from the answer it lies.

A truth is given as the range [least, most] of its distance from the answer, of equal ends where the label is
exact (training.kinds.base.Kind.error_ranges).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_READINGS = 16  # of a range: places in it that a label may stand for


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


def distances(
    ranges: NDArray[np.float64], expected: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far truths lie from the answers: distances [..., R] of ranges [..., 2], and weights [..., R].

    The weights of each truth's readings have the sum 1: within a range the truth is distributed as Laplace
    has it with the `expected` error [...].
    """
    steps = (np.arange(_READINGS) + 0.5) / _READINGS
    least, most = ranges[..., :1], ranges[..., 1:]
    found = np.abs(least + (most - least) * steps)
    logs = -found / expected[..., None]
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return found, weights / weights.sum(axis=-1, keepdims=True)
