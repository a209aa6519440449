"""Which faces a loss that is not finite comes from."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from training.train.loop.distributed import Distributed
from training.train.objectives.objective import Objective

_SHOWN = 8  # files in a message


def faces_behind(
    losses: Sequence[str],
    *,
    objective: Objective,
    batch: Mapping[str, Tensor],
    names: Sequence[str],
    where: Distributed,
    bf16: bool,
) -> str:
    """The faces of a step whose `losses` are not finite one by one, in words.

    `names` are those of the batch's rows. Every process calls it, and gets the same.
    """
    objective.eval()
    guilty: list[str] = []
    with torch.no_grad(), torch.autocast(where.device.type, torch.bfloat16, enabled=bf16):
        for row, name in enumerate(names):
            sums = objective.sums({key: value[row : row + 1] for key, value in batch.items()})
            if not all(bool(sums[loss].isfinite()) for loss in losses):
                guilty.append(name)
    gathered = where.gathered((guilty, len(names)))
    everyone = [name for part, _ in gathered for name in part]
    faces = sum(count for _, count in gathered)
    if len(everyone) == faces:
        return f"every one of its {faces} faces, so that the weights have diverged"
    files = ", ".join(everyone[:_SHOWN]) or "no single face"
    return files + (f" and {len(everyone) - _SHOWN} more" if len(everyone) > _SHOWN else "")
