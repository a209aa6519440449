"""Percentiles, as all reports of this project state them."""

import math
from collections.abc import Sequence

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)  # that a report of latencies has


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]


def percentile_name(share: float) -> str:
    """0.999 -> "p99.9"."""
    return f"p{100 * share:g}"
