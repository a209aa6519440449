"""What a network reaches on the faces kept out of training.

`python -m training.evaluate CHECKPOINT --data DIR` prints a line a task as JSON.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.pose import angles_from_rotation
from training.data import FaceSet
from training.models import ExportWrapper, load_checkpoint
from training.tasks import CATALOGUE, Kind

Answers = dict[str, NDArray[np.float32]]


def predict(wrapper: ExportWrapper, pixels: NDArray[np.uint8]) -> Answers:
    """The network's answers for crops [N, S, S, 3], in chunks."""
    parts: list[dict[str, torch.Tensor]] = []
    with torch.inference_mode():
        for start in range(0, len(pixels), 64):
            parts.append(wrapper(torch.from_numpy(pixels[start : start + 64])))
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}


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
    wrapper: ExportWrapper, folders: list[pathlib.Path], *, limit: int | None = None
) -> dict[str, dict[str, float]]:
    """For each set and task its metrics, and `trivial`: the same metric of always the same answer."""
    results: dict[str, dict[str, float]] = {}
    labels_of = {entry["name"]: entry["labels"] for entry in wrapper.entries}
    for folder in folders:
        faces = FaceSet(folder, test=True)
        rows = np.arange(len(faces))[: limit or len(faces)]
        answers = predict(wrapper, faces.plain(rows))
        for name, answer in answers.items():
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
                **_METRICS[CATALOGUE[name].kind](answer[known], truth[known]),
            }
    return results


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
        folders = sorted(path.parent for path in args.data.glob("*/labels.npz"))
        if not folders:
            raise ValueError(f"there is no prepared set under {args.data}: run training.prepare")
        results = evaluate(ExportWrapper(checkpoint.model, checkpoint.contract), folders)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for name, metrics in results.items():
        print(json.dumps({"task": name, **{key: round(value, 4) for key, value in metrics.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
