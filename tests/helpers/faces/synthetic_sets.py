"""Prepared sets of faces that are none: coloured fields, whose colours decide labels of every task."""

import pathlib
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from training.data.labels import UNKNOWN
from training.data.prepared.shard import Face
from training.data.prepared.writer import margin_of, write_set
from training.tasks import CATALOGUE, Task

_PALETTE = np.random.default_rng(19).integers(0, 256, (19, 3), dtype=np.uint8)


def make_set(
    folder: pathlib.Path,
    *,
    count: int,
    tasks: Iterable[str],
    size: int = 64,
    seed: int = 0,
    test: int = 0,
    unlabelled: int = 0,
) -> dict[str, Any]:
    """A set of `count` training faces and `test` kept out; the first `unlabelled` have no labels."""
    chosen = [CATALOGUE[name] for name in tasks]
    faces = [
        made_face(
            i, chosen if i >= unlabelled else [], size=size, seed=seed, split="train" if i < count else "test"
        )
        for i in range(count + test)
    ]
    return write_set(folder, faces, size=size, title="Made", licence="CC0", options={"seed": seed})


def made_face(i: int, tasks: Iterable[Task], *, size: int, seed: int, split: str = "train") -> Face:
    """Face number `i`: a board of 4 x 4 coloured fields, whose colours decide every label."""
    rng = np.random.default_rng([seed, i])
    margin = margin_of(size)
    colours = rng.integers(0, len(_PALETTE), (4, 4))
    # The board lies within the served crop, which the network sees whole.
    board = cv2.resize(_PALETTE[colours], (size, size), interpolation=cv2.INTER_NEAREST)
    pixels = cv2.copyMakeBorder(board, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    seen = colours.reshape(-1)
    labels: dict[str, Any] = {}
    masks = {}
    for task in tasks:
        k = len(task.labels)
        match task.kind:
            case "classes":
                labels[task.name] = task.labels[i % k if i < k else seen[0] % k]
            case "multilabel":
                bits = [float(_PALETTE[seen[j % 16], j // 16] > 127) for j in range(k)]
                labels[task.name] = dict(zip(task.labels, bits, strict=True))
            case "value":
                labels[task.name] = [1.0 + 4 * seen[1]] * 2
            case "rotation":
                labels[task.name] = (4.0 * (seen[2:5] - 9)).tolist()
            case "points":
                columns = 9 if k > 9 else 3
                grid = np.stack([np.arange(k) % columns + 1, np.arange(k) // columns + 1], axis=1) / 10
                labels[task.name] = (margin + size * (grid + 0.01 * (seen[5:7] - 9))).tolist()
            case "mask":
                ids = cv2.resize(
                    (colours % k).astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST
                )
                masks[task.name] = cv2.copyMakeBorder(
                    ids, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(UNKNOWN,)
                )
    return Face(key=f"{i}.png", pixels=pixels, split=split, person=f"p{i // 2}", labels=labels, masks=masks)
