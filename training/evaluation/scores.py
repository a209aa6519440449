"""Scores as sums over weighted faces: functions of weights [draws, faces] with a value for every draw."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.bootstrap import Weights

Floats = NDArray[np.floating[Any]] | NDArray[np.bool_]

CALIBRATION_BINS = 15  # as Guo et al. 2017 count


def mean(weights: Weights, values: Floats) -> NDArray[np.float64]:
    """The weighted mean of values [N] or [N, K] over the faces where it is no NaN: [draws] or [draws, K]."""
    known = ~np.isnan(values)
    total = weights @ np.where(known, values, 0.0).astype(np.float64)
    return ratio(total, weights @ known.astype(np.float64))


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """part / whole, NaN where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0))


def f1_of(weights: Weights, both: Floats, predicted: Floats, true: Floats) -> NDArray[np.float64]:
    """F1 a label [draws, K] from counts a face [N, K]; NaN where no drawn face has the label.

    Without a positive, F1 is 0 for one false alarm and undefined for none, so it carries no information.
    """
    truths = weights @ true.astype(np.float64)
    score = ratio(2 * (weights @ both.astype(np.float64)), truths + weights @ predicted.astype(np.float64))
    return np.where(truths > 0, score, np.nan)


def mean_of_rows(values: Floats) -> NDArray[np.float64]:
    """The mean of each row of [N, K] over what is no NaN: [N]."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64))


def concordance(weights: Weights, answers: Floats, truths: Floats) -> NDArray[np.float64]:
    """Lin's concordance correlation of answers and truths [N], with variances over N, as ABAW computes it."""
    centre = truths.mean()
    x, y = answers.astype(np.float64) - centre, truths.astype(np.float64) - centre
    mx, my, xx, yy, xy = (mean(weights, part) for part in (x, y, x * x, y * y, x * y))
    shared = np.asarray(2 * (xy - mx * my), dtype=np.float64)
    return ratio(shared, (xx - mx * mx) + (yy - my * my) + (mx - my) ** 2)


def ranked(
    weights: Weights, scores: Floats, positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of positives and of negatives [draws, groups], a group an equal score, the lowest first."""
    order = np.argsort(scores, kind="stable")
    sorted_scores = scores[order]
    starts = np.flatnonzero(np.r_[True, sorted_scores[1:] != sorted_scores[:-1]])
    by_rank = weights[:, order]
    positives = np.add.reduceat(by_rank * positive[order], starts, axis=1)
    return positives, np.add.reduceat(by_rank, starts, axis=1) - positives


def calibration_error(weights: Weights, probability: Floats, true: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Expected calibration error [draws] of probabilities [N].

    In bins of equal width, the distance between the mean probability and the share that is true, weighted by
    the bin's faces (Naeini et al. 2015; Guo et al. 2017, equation 3). NaN where no face was drawn.
    """
    place = np.clip(
        (probability.astype(np.float64) * CALIBRATION_BINS).astype(np.intp), 0, CALIBRATION_BINS - 1
    )
    gaps = np.zeros((len(place), CALIBRATION_BINS))
    gaps[np.arange(len(place)), place] = true - probability.astype(np.float64)
    return ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def area(weights: Weights, scores: Floats, positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Area under the ROC curve [draws] (ties count half); NaN without both classes."""
    positives, negatives = ranked(weights, scores, positive)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return ratio((positives * below).sum(axis=1), pairs)


def recall_at(
    weights: Weights, scores: Floats, positive: NDArray[np.bool_], *, precision: float
) -> NDArray[np.float64]:
    """The largest recall [draws] at this precision or better; 0 where none is, NaN without positives."""
    positives, negatives = (part[:, ::-1].cumsum(axis=1) for part in ranked(weights, scores, positive))
    detected = positives + negatives
    recall = np.where((detected > 0) & (positives >= precision * detected - 1e-9), positives, 0.0).max(axis=1)
    return ratio(recall, positives[:, -1])


def half_kept(errors: NDArray[np.float64], *, at: float) -> NDArray[np.float64]:
    """1 for no error, a half for an error of `at`, and less for a larger one."""
    return np.asarray(1 / (1 + (errors / at) ** 2))
