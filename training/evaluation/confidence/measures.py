"""How well a network knows how far its answers may be off.

Two questions. Do its intervals hold: of the true values the share p lies within the contract's factor times
the expected error (coverage), and how wide are they. And does it know its bad answers: the mean error of
those faces that it is most certain of, for each share of faces that is kept (risk by coverage; Geifman and
El-Yaniv 2017), where certainty is the expected error, or else the probability of what was answered.
"""

import math

import numpy as np
from numpy.typing import NDArray

from runtime.contract import ErrorBounds
from training.evaluation.bootstrap import Values, Weights
from training.evaluation.scores import Floats, mean_of_rows, ratio
from training.kinds.forms import Metric, PerFace

LEVELS = (50, 80, 95)  # percent of true values in an interval
KEPT = (100, 90, 80, 50)  # percent of faces, the most certain ones
COVERAGE, WIDTH, RISK = "interval_coverage", "interval_width", "risk_at"
RANK_CORRELATION = "error_rank_correlation"
AREA = "risk_coverage_area"

CONFIDENCE_METRICS = (
    *(Metric(name=f"{COVERAGE}_{level}") for level in LEVELS),
    *(Metric(name=f"{WIDTH}_{level}", unit="task", is_error=True) for level in LEVELS),
    Metric(name=RANK_CORRELATION),
    Metric(name=AREA, unit="task", is_error=True),
    *(Metric(name=f"{RISK}_{kept}", unit="task", is_error=True) for kept in KEPT),
)
_READINGS = 16  # of a range: places in it that a label may stand for
# Names of the numbers of each face.
_RANGES, _EXPECTED, _RISK_OF, _CERTAINTY = "error_range", "expected_error", "risk", "certainty"


def factor_within(bounds: ErrorBounds, share: float) -> float:
    """How many times the expected error the interval reaches that holds `share` (in 0..1) of true values.

    Between the contract's pairs it is linear in log(1 - share); before the first and behind the last pair
    it is as that pair's ratio of the two has it. A client computes the same.
    """
    shares, factors = np.array(bounds.within, np.float64).T
    at, known = -math.log1p(-share), -np.log1p(-shares)
    if at <= known[0]:
        return float(factors[0] * at / known[0])
    if at >= known[-1]:
        return float(factors[-1] * at / known[-1])
    return float(np.interp(at, known, factors))


def error_statistics(ranges: NDArray[np.float64], expected: NDArray[np.float64]) -> PerFace:
    """The numbers of each face from the ranges of its true errors [N, E, 2] and expected ones [N, E].

    A face's risk is its error to the nearest end of a range. ValueError where their shapes differ.
    """
    if ranges.shape[:2] != expected.shape:
        raise ValueError(
            f"an expected error is answered for {expected.shape[1]} numbers of a face and not for "
            f"{ranges.shape[1]}: build the network again"
        )
    least, most = ranges[..., 0], ranges[..., 1]
    nearest = np.maximum(np.maximum(least, -most), 0)
    known = np.where(np.isnan(nearest), np.nan, expected)
    return {
        _RANGES: ranges,
        _EXPECTED: known,
        **certainty_statistics(mean_of_rows(nearest), -mean_of_rows(known)),
    }


def distances(
    ranges: NDArray[np.float64], expected: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far truths lie from answers: distances [..., R] of ranges [..., 2], and weights [..., R].

    R is 1 where all are exact. Within a range the truth is distributed as Laplace has it with the `expected`
    error [...]: the weights of its readings have the sum 1. NaN where a truth is not known.
    """
    least, most = ranges[..., :1], ranges[..., 1:]
    if np.array_equal(least, most, equal_nan=True):
        found = np.abs(least)
        return found, np.where(np.isnan(found), np.nan, 1.0)
    steps = (np.arange(_READINGS) + 0.5) / _READINGS
    found = np.abs(least + (most - least) * steps)
    logs = -found / expected[..., None]
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return found, weights / weights.sum(axis=-1, keepdims=True)


def certainty_statistics(risk: NDArray[np.float64], certainty: NDArray[np.float64]) -> PerFace:
    """The numbers of each face from its error [N], and from how certain the network was of its answer."""
    return {_RISK_OF: risk, _CERTAINTY: certainty}


def confidence_values(bounds: ErrorBounds | None, faces: PerFace, weights: Weights) -> Values:
    """Every metric of this module that these faces have numbers for, once for each row of the weights."""
    values: Values = {}
    if bounds is not None and _EXPECTED in faces:
        expected = faces[_EXPECTED]
        far, parts = distances(faces[_RANGES], expected)
        for level in LEVELS:
            reach = factor_within(bounds, level / 100) * expected
            inside = ((far <= reach[..., None]) * parts).sum(axis=-1)
            values[f"{COVERAGE}_{level}"] = _mean_of_all(weights, inside)
            values[f"{WIDTH}_{level}"] = _mean_of_all(weights, 2 * reach)
        values[RANK_CORRELATION] = rank_correlation(weights, -faces[_CERTAINTY], faces[_RISK_OF])
    if _CERTAINTY in faces:
        values |= risk_by_coverage(weights, faces[_RISK_OF], faces[_CERTAINTY])
    return values


def _mean_of_all(weights: Weights, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weighted mean over all numbers [N, E] that are no NaN: [draws]."""
    known = ~np.isnan(numbers)
    total = weights @ np.where(known, numbers, 0.0).sum(axis=1)
    return ratio(total, weights @ known.sum(axis=1).astype(np.float64))


def risk_by_coverage(weights: Weights, risk: Floats, certainty: Floats) -> Values:
    """The mean risk [draws] of the most certain faces, for each share that is kept, and the curve's area.

    Of faces of one certainty, of which only some are kept, each counts in part. The area is the mean over
    all faces of the risk of those that are at least as certain.
    """
    order = np.argsort(-np.asarray(certainty, np.float64), kind="stable")
    ranked = np.asarray(certainty)[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    by_rank = weights[:, order]
    group = np.add.reduceat(by_rank, starts, axis=1)
    wrong = np.add.reduceat(by_rank * np.asarray(risk, np.float64)[order], starts, axis=1)
    kept, errors = group.cumsum(axis=1), wrong.cumsum(axis=1)
    total = kept[:, -1]
    values = {AREA: ratio((group * np.nan_to_num(ratio(errors, kept))).sum(axis=1), total)}
    rows = np.arange(len(weights))
    for share in KEPT:
        wanted = total * share / 100
        last = np.minimum((kept < wanted[:, None] - 1e-9).sum(axis=1), kept.shape[1] - 1)
        surplus = kept[rows, last] - wanted
        part = np.nan_to_num(ratio(wrong[rows, last], group[rows, last])) * surplus
        values[f"{RISK}_{share}"] = ratio(errors[rows, last] - part, wanted)
    return values


def rank_correlation(weights: Weights, one: Floats, other: Floats) -> NDArray[np.float64]:
    """Spearman's correlation [draws] of two numbers of each face; NaN where one of them is constant."""
    ranks = [_ranks(weights, np.asarray(numbers, np.float64)) for numbers in (one, other)]
    total = weights.sum(axis=1, keepdims=True)
    x, y = (rank - ratio((weights * rank).sum(axis=1, keepdims=True), total) for rank in ranks)
    xx, yy, xy = ((weights * product).sum(axis=1) for product in (x * x, y * y, x * y))
    return ratio(xy, np.sqrt(xx * yy))


def _ranks(weights: Weights, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The middle rank of each face [draws, N] among the faces drawn."""
    _, of = np.unique(numbers, return_inverse=True)
    order = np.argsort(of, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(of[order]) > 0])
    group = np.add.reduceat(weights[:, order], starts, axis=1)
    return np.asarray((group.cumsum(axis=1) - group / 2)[:, of])


def describe(metric: str) -> str:
    """A metric of this module for people: "80 % interval: covers"."""
    name, _, number = metric.rpartition("_")
    named = {
        COVERAGE: f"within the {number} % interval",
        WIDTH: f"width of the {number} % interval",
        RISK: "error of all" if number == "100" else f"error of the surest {number} %",
    }
    others = {RANK_CORRELATION: "rank correlation with the true error", AREA: "area under risk by coverage"}
    return named.get(name) or others.get(metric, metric)
