"""A histogram stands for its durations: percentiles to 1 %, sums exactly, over JSON and added up."""

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from qface_client.measuring.histogram import LEAST, Histogram
from qface_client.measuring.percentiles import SHARES, percentile


def durations(*, seed: int, count: int = 5000) -> NDArray[np.float64]:
    """From microseconds to minutes."""
    return np.random.default_rng(seed).lognormal(mean=-3.0, sigma=2.0, size=count)


@pytest.mark.parametrize("seed", range(5))
def test_a_percentile_is_at_most_one_per_cent_above_that_of_the_durations(seed: int) -> None:
    values = durations(seed=seed)
    histogram = Histogram.of(values)
    for share in (0.001, *SHARES, 1.0):
        exact = max(percentile(values, share), LEAST)
        assert exact * (1 - 1e-9) <= histogram.percentile(share) <= exact * 1.0101


def test_count_mean_least_and_most_are_exact() -> None:
    values = durations(seed=9)
    histogram = Histogram.of(values)
    assert histogram.count == len(values)
    assert histogram.mean == pytest.approx(values.mean())
    assert (histogram.least, histogram.most) == (values.min(), values.max())
    assert histogram.percentile(1.0) == values.max()


@pytest.mark.parametrize("value", [0.0, LEAST, LEAST * 1.01**7, 1.0, 3 * 24 * 3600.0])
def test_every_duration_has_a_bin(value: float) -> None:
    histogram = Histogram.of([value])
    assert histogram.count == 1
    assert histogram.share_below(value) == 1.0
    if LEAST < value < 3600:
        assert histogram.percentile(0.5) == value


def test_added_up_it_is_that_of_all() -> None:
    parts = [durations(seed=seed, count=100) for seed in range(3)]
    whole, merged = (
        Histogram.of(np.concatenate(parts)),
        Histogram.merged([Histogram.of([]), *map(Histogram.of, parts)]),
    )
    assert np.array_equal(merged.counts, whole.counts)
    assert merged.total == pytest.approx(whole.total)
    assert (merged.least, merged.most) == (whole.least, whole.most)


def test_the_share_below_a_bound_is_right_to_one_per_cent_of_the_bound() -> None:
    values = durations(seed=3)
    histogram = Histogram.of(values)
    for bound in (1e-3, 0.02, 0.5, 10.0):
        low, high = ((values <= edge * bound).mean() for edge in (0.99, 1.01))
        assert low <= histogram.share_below(bound) <= high
    assert histogram.share_below(values.max()) == 1.0
    assert histogram.share_below(0.0) == 0.0


def test_it_is_the_same_after_json() -> None:
    histogram = Histogram.of(durations(seed=1))
    read = Histogram.from_json(json.loads(json.dumps(histogram.to_json())))
    assert np.array_equal(read.counts, histogram.counts)
    assert (read.total, read.least, read.most) == (histogram.total, histogram.least, histogram.most)


def test_of_nothing_all_is_unknown_and_json_has_no_nan() -> None:
    nothing = Histogram.merged([])
    assert nothing.count == 0
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.percentile(0.5))
    assert math.isnan(nothing.share_below(1.0))
    text = json.dumps(nothing.to_json(), allow_nan=False)
    assert Histogram.from_json(json.loads(text)).count == 0


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_what_is_no_duration_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="negative or not finite"):
        Histogram.of([1.0, value])


@pytest.mark.parametrize(
    "data",
    [{}, {"bins": [1]}, {"bins": [10**6], "counts": [1]}, {"bins": ["x"], "counts": [1]}, {"bins": None}],
)
def test_other_data_is_no_histogram(data: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, IndexError)):
        Histogram.from_json(data)
