"""How far two engines' answers to the same pictures lie apart, output by output."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# The largest difference allowed at lower precision, by kind, in the kind's own unit; for masks the
# part of the pixels that may differ.
LOW_PRECISION = {
    "classes": 0.02,
    "multilabel": 0.02,
    "value": 0.5,
    "rotation": 0.5,
    "points": 0.5,
    "mask": 0.005,
}
# The largest difference allowed in fp32, in any unit.
FULL_PRECISION = 1e-4


def pictures(count: int, *, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Made-up pictures [count, size, size, 3] with soft and hard edges, the same ones for the same seed."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (count, 8, 8, 3)).astype(np.float32)
    soft = np.stack([cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC) for picture in coarse])
    noisy = soft + random.normal(0, 12, soft.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def differences(expected: Mapping[str, NDArray[Any]], answered: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """The largest absolute difference of each output; of class ids, the part of pixels that differ.

    An output that is missing or has another shape, or holds NaN where the other does not, is
    infinitely far.
    """
    found = {}
    for name, values in expected.items():
        other = answered.get(name)
        if other is None or other.shape != values.shape:
            found[name] = float("inf")
        elif values.dtype == np.uint8:
            found[name] = float(np.mean(values != other)) if values.size else 0.0
        else:
            apart = np.abs(values.astype(np.float64) - other)
            found[name] = float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))
    return found
