"""Tensors by name, and how many rows of them are computed in batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Answer = dict[str, NDArray[Any]]


def in_batches(
    infer: Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]],
    rows: NDArray[Any],
    outputs: Sequence[str],
    *,
    max_batch: int,
) -> Answer:
    """The outputs of a batching model for any number of rows [N > 0, ...].

    One batch after the other, so that a request of very many rows does not stand before all others.
    """
    parts = [infer(rows[start : start + max_batch]) for start in range(0, len(rows), max_batch)]
    return {output: np.concatenate([part[output] for part in parts]) for output in outputs}
