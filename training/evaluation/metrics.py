"""Every metric by the kind of its task: what each face adds to it, and what comes of the sums.

A metric is computed in two steps. `per_face` turns answers and labels of a few faces into numbers a face
(right or wrong, an error, pixels of a class), so that masks need not be kept; `values` turns those numbers
and weights [draws, faces] into the metric, once for every draw of the bootstrap (training.evaluation.bootstrap).
That is why they are written here: torchmetrics has most of them, but would compute each draw anew from the
answers. The tests hold each one to torchmetrics.

Shares, areas, F1, CCC and calibration errors lie in 0..1; ages in years; rotations in degrees; NME in parts
of the eyes' or the box's distance. Names with a slash are of one label: "f1/AU1".
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.pose import angles_from_rotation, rotation_from_angles
from training.evaluation.bootstrap import Values, Weights
from training.evaluation.evaluated_task import UNKNOWN, Question
from training.evaluation.scores import (
    area,
    calibration_error,
    concordance,
    f1_of,
    mean,
    mean_of_rows,
    ranked,
    ratio,
    recall_at,
)
from training.tasks import Kind

PerFace = dict[str, NDArray[Any]]  # by name, [faces, ...]

NME_LIMIT = 0.08  # of AUC and failure rate: 300-W's protocol
PRECISION = 0.8  # at which COFW's recall of covered points is given (Burgos-Artizzu et al. 2013)
# The outer corners of iBUG's 68 points, whose distance 300-W divides errors by.
_OUTER_CORNERS = (36, 45)
_IBUG = 68
_BACKGROUND = 0  # the first class of every mask: no part of a face, so not in the mean F1

CALIBRATION = "expected_calibration_error"

# Metrics of which less is better.
_ERRORS = (
    "mean_absolute_error",  # years
    "error_outside_bin",
    "euler_mean_absolute_error",  # degrees
    "geodesic_error",
    "normalized_mean_error",  # parts of a face's size
    "box_normalized_error",
    "failure_rate",
    CALIBRATION,
)


# Those that a bootstrap's draws raise: a bin of fewer different faces strays further from its probability.
RAISED_BY_DRAWING = (CALIBRATION,)


def less_is_better(metric: str) -> bool:
    """Whether a metric is an error."""
    return metric.partition("/")[0] in _ERRORS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure:
    """How a kind is measured. Labels come as training.data.prepared.face_set has them, in the question's order."""

    known: Callable[[NDArray[Any]], NDArray[np.bool_]]  # labels [N, ...] -> which faces have any
    # Labels -> the answers of networks that look at no face.
    constants: Callable[[Question, NDArray[Any]], list[NDArray[Any]]]
    per_face: Callable[[Question, NDArray[Any], NDArray[Any]], PerFace]  # answers, labels -> numbers a face
    values: Callable[[Question, PerFace, Weights], Values]


def _named(name: str, question: Question, values: NDArray[np.float64]) -> Values:
    return {f"{name}/{label}": values[:, i] for i, label in enumerate(question.labels)}


# Classes --------------------------------------------------------------------------------------------------


def _classes_per_face(question: Question, answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
    classes = np.arange(len(question.labels))
    said = answers.argmax(axis=1)[:, None] == classes
    true = labels.argmax(axis=1)[:, None] == classes
    return {"said": said, "true": true, "confidence": answers.max(axis=1).astype(np.float64)}


def _classes_values(question: Question, faces: PerFace, weights: Weights) -> Values:
    both = faces["said"] & faces["true"]
    f1 = f1_of(weights, both, faces["said"], faces["true"])
    recall = ratio(weights @ both.astype(np.float64), weights @ faces["true"].astype(np.float64))
    right = both.any(axis=1)
    return {
        "top1_accuracy": mean(weights, right.astype(np.float64)),
        "mean_class_accuracy": mean_of_rows(recall),
        "macro_f1": mean_of_rows(f1),
        CALIBRATION: calibration_error(weights, faces["confidence"], right),
        **_named("f1", question, f1),
    }


# Multilabel -----------------------------------------------------------------------------------------------


def _multilabel_per_face(question: Question, answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
    faces: PerFace = {
        "score": answers.astype(np.float64),
        "known": ~np.isnan(labels),
        "true": np.nan_to_num(labels) >= 0.5,
        "said": answers >= question.threshold,
    }
    if question.fitted:
        faces["said_fitted"] = answers >= np.asarray(question.fitted)
    return faces


def _multilabel_values(question: Question, faces: PerFace, weights: Weights) -> Values:
    known, true, said = faces["known"], faces["true"], faces["said"]
    accuracy = mean(weights, np.where(known, said == true, np.nan))
    f1 = f1_of(weights, said & true & known, said & known, true)
    areas, gaps = [], []
    for i, rows in enumerate(known.T):
        if rows.any():
            there = weights[:, rows], faces["score"][rows, i], true[rows, i]
            areas.append(area(*there))
            gaps.append(calibration_error(*there))
    values = {
        "mean_accuracy": mean_of_rows(accuracy),
        "mean_f1": mean_of_rows(f1),
        "mean_auc": mean_of_rows(np.stack(areas, axis=1)),
        CALIBRATION: mean_of_rows(np.stack(gaps, axis=1)),
    }
    if question.main == "recall_at_80_precision":
        # What is looked for is a covered point; all points are pooled.
        face, label = np.nonzero(known)
        score, covered = -faces["score"][face, label], ~true[face, label]
        values["recall_at_80_precision"] = recall_at(weights[:, face], score, covered, precision=PRECISION)
    if "said_fitted" in faces:
        said = faces["said_fitted"] & known
        fitted = f1_of(weights, said & true, said, true)
        values |= {"mean_f1_fitted": mean_of_rows(fitted), **_named("f1_fitted", question, fitted)}
    if question.main == "mean_f1":
        return values | _named("f1", question, f1)
    return values | _named("accuracy", question, accuracy)


def _multilabel_constants(question: Question, labels: NDArray[Any]) -> list[NDArray[Any]]:
    """How often each label occurs; and each label always, the best F1 that is reached without a look."""
    rates = mean(np.ones((1, len(labels))), labels)[0]
    return [np.nan_to_num(rates, nan=0.5), np.ones(labels.shape[1])]


def fitted_thresholds(question: Question, faces: PerFace) -> tuple[float, ...]:
    """For each label the threshold with the best F1 on these faces, to be used on others.

    Where no face has the label, the question's own.
    """
    weights = np.ones((1, len(faces["score"])))
    found = []
    for i, rows in enumerate(faces["known"].T):
        scores, positive = faces["score"][rows, i], faces["true"][rows, i]
        if not positive.any():
            found.append(question.threshold)
            continue
        groups = [part[0, ::-1] for part in ranked(weights[:, rows], scores, positive)]
        positives, negatives = (np.cumsum(group) for group in groups)
        f1 = 2 * positives / (positives + negatives + positives[-1])
        steps = np.unique(scores)[::-1]
        best = int(f1.argmax())
        # Halfway to the next lower score: other faces don't have these very scores.
        below = steps[best + 1] if best + 1 < len(steps) else steps[best]
        found.append(float((steps[best] + below) / 2))
    return tuple(found)


# Value ----------------------------------------------------------------------------------------------------


def _bins(labels: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Both ends of each interval and whether it is a bin: 20 to 29 holds whoever has not turned 30."""
    low, high = labels.astype(np.float64).T
    return low, np.where(high > low, high + 1, high), high > low


def _value_per_face(question: Question, answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
    low, high, binned = _bins(labels)
    said = answers[:, 0].astype(np.float64)
    return {
        "said": said,
        "middle": (low + high) / 2,
        "error": np.maximum(np.maximum(low - said, said - high), 0),
        "inside": (said >= low) & (said < high),
        "binned": binned,
    }


def _value_values(question: Question, faces: PerFace, weights: Weights) -> Values:
    ccc = {"ccc": concordance(weights, faces["said"], faces["middle"])}
    if not faces["binned"].any():
        return {"mean_absolute_error": mean(weights, faces["error"]), **ccc}
    inside = np.where(faces["binned"], faces["inside"], np.nan)
    return {"bin_accuracy": mean(weights, inside), "error_outside_bin": mean(weights, faces["error"]), **ccc}


def _value_constants(question: Question, labels: NDArray[Any]) -> list[NDArray[Any]]:
    low, high, binned = _bins(labels)
    middle = (low + high) / 2
    found = [np.array([np.median(middle)])]
    if binned.any():
        bins, counts = np.unique(middle[binned], return_counts=True)
        found.append(np.array([bins[counts.argmax()]]))
    return found


# Rotation -------------------------------------------------------------------------------------------------


def _rotation_per_face(question: Question, answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
    said = angles_from_rotation(answers)
    apart = (said - labels + 180) % 360 - 180  # 179 and -179 degrees are 2 apart
    cosine = ((answers * rotation_from_angles(labels)).sum(axis=(1, 2)) - 1) / 2
    return {
        "said": labels + apart,
        "true": labels.astype(np.float64),
        "error": np.abs(apart),
        "geodesic": np.degrees(np.arccos(np.clip(cosine, -1, 1))),
    }


def _rotation_values(question: Question, faces: PerFace, weights: Weights) -> Values:
    errors = mean(weights, faces["error"])
    ccc = np.stack([concordance(weights, faces["said"][:, i], faces["true"][:, i]) for i in range(3)], axis=1)
    return {
        "euler_mean_absolute_error": errors.mean(axis=1),
        "geodesic_error": mean(weights, faces["geodesic"]),
        "ccc": ccc.mean(axis=1),
        # rotations are always in this order, whatever the labels' order
        **{
            f"euler_mean_absolute_error/{label}": errors[:, i] for i, label in enumerate(question.task.labels)
        },
    }


def _rotation_constants(question: Question, labels: NDArray[Any]) -> list[NDArray[Any]]:
    return [rotation_from_angles(np.median(labels, axis=0))]


# Points ---------------------------------------------------------------------------------------------------


def _points_per_face(question: Question, answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
    true = labels * question.input_size - 0.5  # from parts of the crop to pixels
    errors = np.linalg.norm(answers - true, axis=2)
    error, known = mean_of_rows(errors), ~np.isnan(errors)[..., None]
    least, most = np.where(known, true, np.inf).min(axis=1), np.where(known, true, -np.inf).max(axis=1)
    faces = {"box": ratio(error, np.sqrt(np.prod(most - least, axis=1)))}
    if len(question.task.labels) == _IBUG:
        one, other = (true[:, question.order.index(i)] for i in _OUTER_CORNERS)
        faces["eyes"] = ratio(error, np.nan_to_num(np.linalg.norm(one - other, axis=1)))
    return faces


def _points_values(question: Question, faces: PerFace, weights: Weights) -> Values:
    values = {"box_normalized_error": mean(weights, faces["box"])}
    if "eyes" not in faces:
        return values
    errors = faces["eyes"]
    # The area under the curve of errors up to the limit, in parts of the limit, is a mean over faces.
    under = np.where(np.isnan(errors), np.nan, np.maximum(1 - errors / NME_LIMIT, 0))
    failed = np.where(np.isnan(errors), np.nan, errors > NME_LIMIT)
    return {
        "normalized_mean_error": mean(weights, errors),
        "auc_at_0.08": mean(weights, under),
        "failure_rate": mean(weights, failed),
        **values,
    }


def _points_constants(question: Question, labels: NDArray[Any]) -> list[NDArray[Any]]:
    """Each point where it lies in half of the faces; one that no face has, in the middle."""
    seen = ~np.isnan(labels).all(axis=0)
    median = np.nanmedian(np.where(seen, labels, 0.5), axis=0)
    return [median * question.input_size - 0.5]


# Masks ----------------------------------------------------------------------------------------------------


def _mask_per_face(question: Question, answers: NDArray[Any], labels: NDArray[Any]) -> PerFace:
    count = len(question.labels)
    known = labels != UNKNOWN
    face = np.arange(len(labels))[:, None, None] * count
    counts = {
        "said": (face + answers)[known],
        "true": (face + labels)[known],
        "both": (face + labels)[known & (answers == labels)],
    }
    return {
        name: np.bincount(cells, minlength=len(labels) * count).reshape(len(labels), count)
        for name, cells in counts.items()
    }


def _mask_values(question: Question, faces: PerFace, weights: Weights) -> Values:
    f1 = f1_of(weights, faces["both"], faces["said"], faces["true"])
    parts = np.delete(f1, question.order.index(_BACKGROUND), axis=1)
    pixels = ratio(
        weights @ faces["both"].sum(axis=1).astype(np.float64), weights @ faces["true"].sum(axis=1)
    )
    return {"mean_f1": mean_of_rows(parts), "pixel_accuracy": pixels, **_named("f1", question, f1)}


def _mask_constants(question: Question, labels: NDArray[Any]) -> list[NDArray[Any]]:
    counts = [(labels == i).sum(axis=0) for i in range(len(question.labels))]
    return [np.argmax(counts, axis=0).astype(np.uint8)]


def _any_known(labels: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray((~np.isnan(labels)).reshape(len(labels), -1).any(axis=1))


def _all_known(labels: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray((~np.isnan(labels)).reshape(len(labels), -1).all(axis=1))


MEASURES: Mapping[Kind, Measure] = {
    Kind.CLASSES: Measure(
        known=_all_known,
        constants=lambda question, labels: [labels.mean(axis=0)],
        per_face=_classes_per_face,
        values=_classes_values,
    ),
    Kind.MULTILABEL: Measure(
        known=_any_known,
        constants=_multilabel_constants,
        per_face=_multilabel_per_face,
        values=_multilabel_values,
    ),
    Kind.VALUE: Measure(
        known=_all_known, constants=_value_constants, per_face=_value_per_face, values=_value_values
    ),
    Kind.ROTATION: Measure(
        known=_all_known, constants=_rotation_constants, per_face=_rotation_per_face, values=_rotation_values
    ),
    Kind.POINTS: Measure(
        known=_any_known,
        constants=_points_constants,
        per_face=_points_per_face,
        values=_points_values,
    ),
    Kind.MASK: Measure(
        known=lambda labels: (labels != UNKNOWN).any(axis=(1, 2)),
        constants=_mask_constants,
        per_face=_mask_per_face,
        values=_mask_values,
    ),
}


def best_of(names: Sequence[str], candidates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """For each metric the best that any of several networks reaches; NaN where none is defined."""
    found = {}
    for name in names:
        known = [one[name] for one in candidates if not np.isnan(one.get(name, np.nan))]
        best = min if less_is_better(name) else max
        found[name] = float(best(known)) if known else float("nan")
    return found
