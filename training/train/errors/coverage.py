"""How often the truth lies within an expected error of the answer, times a factor."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.contract import LAPLACE, SHARES, Within
from training.evaluation.confidence.measures import distances
from training.train.errors.observations import Observations


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage:
    """What was measured of one task on the faces of one set."""

    task: str
    faces: str  # the set, and whether its crops were made worse
    count: int
    before: tuple[float, ...]  # the share of truths within the range of each of SHARES, by Laplace's factors
    after: tuple[float, ...]  # and by the measured ones
    mean_expected: float  # error
    mean_error: float
    rank_correlation: float  # of the faces' expected errors with their errors (Spearman)

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint's card."""
        return {
            "faces": self.count,
            "coverage": [round(share, 4) for share in self.after],
            "coverage_by_laplace": [round(share, 4) for share in self.before],
            "mean_expected_error": round(self.mean_expected, 3),
            "mean_error": round(self.mean_error, 3),
            "rank_correlation": round(self.rank_correlation, 3),
        }


def measured_within(observed: Observations, expected: NDArray[np.float64]) -> Within:
    """For each of SHARES how many expected errors [N, K] away that share of truths lies at most.

    Over all numbers of all faces, each set alike.
    """
    ratios, weights = _ratios(observed, expected)
    order = np.argsort(ratios, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    factors = ratios[order][np.minimum(np.searchsorted(reached, SHARES), len(order) - 1)]
    return tuple(
        (share, max(round(float(factor), 4), 1e-4)) for share, factor in zip(SHARES, factors, strict=True)
    )


def coverage(
    observed: Observations, expected: NDArray[np.float64], *, within: Within, task: str, faces: str
) -> Coverage:
    """Of these faces with expected errors [N, K]."""
    ratios, weights = _ratios(observed, expected)

    def shares(bounds: Within) -> tuple[float, ...]:
        return tuple(float(weights[ratios <= factor].sum() / weights.sum()) for _, factor in bounds)

    far, parts = distances(observed.ranges, expected)
    errors = (far * parts).sum(axis=-1)
    known = ~np.isnan(errors)
    of_face, stated = _mean_of(errors, known), _mean_of(expected, known)
    return Coverage(
        task=task,
        faces=faces,
        count=len(expected),
        before=shares(LAPLACE),
        after=shares(within),
        mean_expected=float(np.average(stated, weights=observed.weights)),
        mean_error=float(np.average(of_face, weights=observed.weights)),
        rank_correlation=rank_correlation(stated, of_face),
    )


def rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Spearman's: equal numbers share a rank; 0 where one is constant."""
    first, second = (_ranks(numbers) for numbers in (one, other))
    if not (len(first) and first.std() and second.std()):
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def table(rows: Sequence[Coverage]) -> str:
    """In Markdown."""
    shares = " / ".join(f"{share:.0%}" for share in SHARES)
    header = [
        "task",
        "faces",
        "count",
        f"truths within {shares} by Laplace",
        "as measured",
        "mean expected error",
        "mean error",
        "rank correlation",
    ]
    lines = [header, ["---"] * len(header)]
    lines += [
        [
            row.task,
            row.faces,
            str(row.count),
            " / ".join(f"{share:.1%}" for share in row.before),
            " / ".join(f"{share:.1%}" for share in row.after),
            f"{row.mean_expected:.2f}",
            f"{row.mean_error:.2f}",
            f"{row.rank_correlation:.2f}",
        ]
        for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratios(
    observed: Observations, expected: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every known truth's distance in expected errors, and its weight."""
    found, parts = distances(observed.ranges, expected)
    known = ~np.isnan(found)
    numbers = np.maximum(known.any(axis=-1).sum(axis=1), 1)
    weights = parts * (observed.weights / numbers)[:, None, None]
    return (found / expected[..., None])[known], weights[known]


def _mean_of(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[N]: the mean of each face's known numbers."""
    return np.asarray(np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1))


def _ranks(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, count = np.unique(numbers, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place.reshape(-1)])
