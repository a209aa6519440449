"""The attention of each query of a network over stages and places (Q-Face, section 4.7)."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from training.models import QFace


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageMap:
    """A query's attention over the places of one stage of the encoder."""

    stage: int  # the encoder's, from 0 as timm counts
    share: float  # of the query's whole attention, [CLS] included
    grid: NDArray[np.float32]  # [rows, columns]: the attention of each place


def queries_of(model: "QFace", name: str) -> list[int]:
    """The indices of the queries of a label (`Smiling`), a task, or `task/label`.

    A label that several queries predict together (an angle) is named by its task only. ValueError for a
    name that the network does not have, or has twice.
    """
    found: dict[str, list[int]] = {}
    first = 0
    for task in model.tasks:
        own = range(first, first + task.queries)
        if name == task.name:
            found[task.name] = list(own)
        elif task.queries == len(task.labels):
            found |= {
                f"{task.name}/{label}": [query]
                for label, query in zip(task.labels, own, strict=True)
                if name in (label, f"{task.name}/{label}")
            }
        first += task.queries
    if len(found) > 1:
        raise ValueError(f"{name!r} may be {' or '.join(found)}: name one of them")
    if not found:
        raise ValueError(
            f"the network has no query for {name!r}: name a task ({', '.join(t.name for t in model.tasks)}) "
            "or one of its labels"
        )
    return next(iter(found.values()))


def attention_of(model: "QFace", pixels: NDArray[np.uint8], *, block: int = 0) -> NDArray[np.float32]:
    """Crops [B, S, S, 3] -> [N queries, M tokens]: the mean over faces and heads. Each row sums to 1."""
    import torch

    weights = model.eval().cross_attention(torch.from_numpy(pixels), block=block)
    return np.asarray(weights.mean(dim=(0, 1)).numpy(), np.float32)


def stage_maps(model: "QFace", attention: NDArray[np.float32]) -> list[StageMap]:
    """One query's attention [M] as a map a stage."""
    maps = []
    for tokens in model.fusion.layout:
        part = attention[tokens.first : tokens.first + tokens.count]
        grid = part[tokens.prefix :].reshape(tokens.grid)
        maps.append(StageMap(stage=tokens.stage, share=float(part.sum()), grid=grid))
    return maps


def stage_shares(model: "QFace", attention: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """[N, M] -> for each task the share of its queries' attention that goes to each stage; sums to 1."""
    shares = {}
    first = 0
    for task in model.tasks:
        own = attention[first : first + task.queries].mean(axis=0)
        shares[task.name] = np.array([found.share for found in stage_maps(model, own)], np.float32)
        first += task.queries
    return shares
