"""Confusion matrices of the tasks of classes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from runtime.contract import TaskEntry
from training.data.sample import SPLITS
from training.kinds import kind_of
from training.tasks import CATALOGUE, Task


def add_confusion(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `confusion`."""
    parser.add_argument("network", help="a checkpoint, a .onnx file, or grpc://host:port")
    parser.add_argument("--data", type=Path, required=True, help="the folder of prepared sets")
    parser.add_argument("--sets", help="only these, separated by commas")
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument("--limit", type=int, help="so many faces of each set, evenly spread")
    parser.add_argument("--device", default="cpu", help="where torch runs a checkpoint: cpu or cuda")
    parser.set_defaults(draw=_confusion)


def _confusion(args: argparse.Namespace) -> Figure:
    sets = [name.strip() for name in args.sets.split(",")] if args.sets else None
    counts = count_confusion(
        args.network, data=args.data, sets=sets, split=args.split, limit=args.limit, device=args.device
    )
    return draw_confusion(counts)


def draw_confusion(counts: dict[str, NDArray[np.int64]]) -> Figure:
    """A matrix a task from counts [K labelled, K answered]; cells are shares of their row."""
    sides = [len(matrix) for matrix in counts.values()]
    figure = Figure(
        figsize=(sum(1.4 + 0.55 * side for side in sides), 1.6 + 0.5 * max(sides)), layout="constrained"
    )
    axes = figure.subplots(1, len(counts), squeeze=False, width_ratios=[2 + side for side in sides])[0]
    for axis, (name, matrix) in zip(axes, counts.items(), strict=True):
        totals = matrix.sum(axis=1, keepdims=True)
        shares = matrix / np.maximum(totals, 1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (i, j), share in np.ndenumerate(shares):
            axis.text(
                j, i, f"{share:.0%}", ha="center", va="center", fontsize=7, color="w" if share > 0.5 else "k"
            )
        labels = CATALOGUE[name].labels
        axis.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=7)
        named = [f"{label} ({total})" for label, total in zip(labels, totals[:, 0], strict=True)]
        axis.set_yticks(range(len(labels)), named, fontsize=7)
        axis.set_title(f"{name}: {np.trace(matrix) / max(matrix.sum(), 1):.1%} right", fontsize=9)
        axis.set_xlabel("answered", fontsize=8)
        axis.set_ylabel("labelled", fontsize=8)
    return figure


def confusion(labelled: NDArray[np.float32], answered: NDArray[np.float32]) -> NDArray[np.int64]:
    """Counts [K, K], labelled by answered, from probabilities [N, K] of both; NaN labels are left out."""
    known = ~np.isnan(labelled).any(axis=1)
    counts = np.zeros((labelled.shape[1],) * 2, np.int64)
    np.add.at(counts, (labelled[known].argmax(axis=1), answered[known].argmax(axis=1)), 1)
    return counts


def count_confusion(
    network: str, *, data: Path, sets: Sequence[str] | None, split: str, limit: int | None, device: str
) -> dict[str, NDArray[np.int64]]:
    """The confusion counts of every task of classes, over all prepared faces with its label.

    `limit` takes so many faces of each set, evenly spread. ValueError where no set has such a label.
    """
    from training.data.prepared.face_set import prepared_sets
    from training.evaluation.predictors import BATCH, load_predictor

    if limit is not None and limit < 1:
        raise ValueError(f"--limit {limit}: take 1 or more")
    faces_of = prepared_sets(data, split=split, names=sets)
    predictor = load_predictor(network, device=device)
    tasks = [entry.name for entry in predictor.tasks if _has_classes(entry)]
    counts: dict[str, NDArray[np.int64]] = {}
    for faces in faces_of:
        present = [name for name in tasks if name in faces.columns]
        chosen = np.unique(np.linspace(0, len(faces) - 1, min(limit or len(faces), len(faces))).astype(int))
        for start in range(0, len(chosen) if present else 0, BATCH):
            indices = chosen[start : start + BATCH]
            answers = predictor.predict(faces.served_crops(indices, size=predictor.input_size))
            for name in present:
                found = confusion(faces.columns[name][indices], answers[name])
                counts[name] = counts[name] + found if name in counts else found
    if not counts:
        raise ValueError(
            f"no prepared set of {data} has labels of {', '.join(tasks) or 'any task'} in its {split} part: "
            "prepare one that has"
        )
    return counts


def _has_classes(entry: TaskEntry) -> bool:
    """Whether a contract's entry is a task of classes with the catalogue's own labels."""
    task: Task | None = CATALOGUE.get(entry.name)
    return task is not None and kind_of(task).exclusive and task.labels == entry.labels
