"""What a network reaches on the faces kept out of training.

`python -m training.evaluate CHECKPOINT --data DIR` prints a line a task as JSON.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.pose import angles_from_rotation
from training.data import FaceSet
from training.models import ExportWrapper, load_checkpoint
from training.tasks import CATALOGUE, Kind

Answers = dict[str, NDArray[np.float32]]


def answers_of(wrapper: ExportWrapper) -> Callable[[NDArray[np.uint8]], Answers]:
    """The network as a function of crops [N, S, S, 3]."""

    def answer(pixels: NDArray[np.uint8]) -> Answers:
        with torch.inference_mode():
            return {name: tensor.numpy() for name, tensor in wrapper(torch.from_numpy(pixels)).items()}

    return answer


def in_chunks(
    answer: Callable[[NDArray[np.uint8]], Answers], pixels: NDArray[np.uint8], *, size: int = 32
) -> Answers:
    """The answers for crops [N, S, S, 3], asked for `size` at a time."""
    parts = [answer(pixels[start : start + size]) for start in range(0, len(pixels), size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def area_under_curve(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (ties count half); NaN without both classes."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def evaluate(
    answer: Callable[[NDArray[np.uint8]], Answers],
    entries: Sequence[Mapping[str, Any]],
    folders: Sequence[pathlib.Path],
    *,
    limit: int | None = None,
) -> dict[str, dict[str, float]]:
    """For each set and task its metrics, and `trivial`: the same metric of always the same answer.

    `answer` is anything that answers crops [N <= 32, S, S, 3], torch or an engine; `entries` are the
    contract's tasks.
    """
    results: dict[str, dict[str, float]] = {}
    labels_of = {entry["name"]: entry["labels"] for entry in entries}
    for folder in folders:
        faces = FaceSet(folder, test=True)
        rows = np.arange(len(faces))[: limit or len(faces)]
        answers = in_chunks(answer, faces.plain(rows))
        for name, answered in answers.items():
            key = "age_low" if name == "age" else name
            if key not in faces.labels:
                continue
            truth = faces.labels[key][rows]
            if name == "age" and (faces.labels["age_high"][rows] != truth).any():
                truth = np.stack([truth, faces.labels["age_high"][rows]], axis=1)
            if CATALOGUE[name].kind is Kind.MULTILABEL:
                truth = truth[:, [CATALOGUE[name].labels.index(label) for label in labels_of[name]]]
            known = ~np.isnan(truth.reshape(len(truth), -1)).any(axis=1)
            results[f"{name} on {faces.name}"] = {
                "faces": int(known.sum()),
                **_METRICS[CATALOGUE[name].kind](answered[known], truth[known]),
            }
    return results


def prepared_sets(folder: pathlib.Path) -> list[pathlib.Path]:
    """The sets that training.prepare put into a folder; ValueError when there is none."""
    sets = sorted(path.parent for path in folder.glob("*/labels.npz"))
    if not sets:
        raise ValueError(f"there is no prepared set under {folder}: run training.prepare")
    return sets


def _classes(answer: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    return {
        "accuracy": float((answer.argmax(1) == truth).mean()),
        "trivial": float(np.unique(truth, return_counts=True)[1].max() / len(truth)),
    }


def _multilabel(answer: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    positive = truth >= 0.5
    areas = [area_under_curve(answer[:, i], positive[:, i]) for i in range(answer.shape[1])]
    return {
        "mean_accuracy": float(((answer >= 0.5) == positive).mean()),
        "trivial": float(np.maximum(positive.mean(0), 1 - positive.mean(0)).mean()),
        "mean_auc": float(np.nanmean(areas)),
    }


def _value(answer: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    if truth.ndim == 2:
        inside = (answer[:, 0] >= truth[:, 0]) & (answer[:, 0] < truth[:, 1] + 1)
        _, counts = np.unique(truth[:, 0], return_counts=True)
        return {"bin_accuracy": float(inside.mean()), "trivial": float(counts.max() / len(truth))}
    return {
        "mean_absolute_error": float(np.abs(answer[:, 0] - truth).mean()),
        "trivial": float(np.abs(np.median(truth) - truth).mean()),
    }


def _rotation(answer: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    errors = np.abs(angles_from_rotation(answer) - truth)
    names = ("yaw", "pitch", "roll")
    return {
        "mean_absolute_error": float(errors.mean()),
        **{name: float(errors[:, i].mean()) for i, name in enumerate(names)},
        "trivial": float(np.abs(truth - np.median(truth, axis=0)).mean()),
    }


_METRICS: dict[Kind, Callable[[NDArray[np.float32], NDArray[np.float32]], dict[str, float]]] = {
    Kind.CLASSES: _classes,
    Kind.MULTILABEL: _multilabel,
    Kind.VALUE: _value,
    Kind.ROTATION: _rotation,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument(
        "--data", type=pathlib.Path, required=True, help="the folder that training.prepare filled"
    )
    args = parser.parse_args()
    try:
        checkpoint = load_checkpoint(args.checkpoint)
        wrapper = ExportWrapper(checkpoint.model, checkpoint.contract)
        results = evaluate(answers_of(wrapper), wrapper.entries, prepared_sets(args.data))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for name, metrics in results.items():
        print(json.dumps({"task": name, **{key: round(value, 4) for key, value in metrics.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
