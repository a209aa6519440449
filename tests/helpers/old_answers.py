"""Whether an extended network keeps its old answers."""

from collections.abc import Mapping

import torch

# Of the largest of a task's numbers: fp32 holds seven digits. The same calls give equal bits on
# most processors, but a library may choose a kernel by where in memory a tensor lies.
BOUND = 1e-5


def assert_same(old: Mapping[str, torch.Tensor], new: Mapping[str, torch.Tensor]) -> None:
    """The old network's answers are among the new one's, to `BOUND`."""
    for task, answer in old.items():
        apart, largest = float((new[task] - answer).abs().max()), float(answer.abs().max())
        assert apart <= BOUND * largest, f"{task} is {apart:.1e} apart"
