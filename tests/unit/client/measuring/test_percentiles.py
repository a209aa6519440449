"""A percentile is one definition: of values, of a histogram's counts, of a bootstrap's draws."""

import math

import numpy as np
import pytest

from qface_client.measuring.percentiles import middle, percentile, percentile_name, rank


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.07, 0.5, 0.99, 1.0)] == [7.0, 50.0, 99.0, 100.0]
    assert percentile(np.array(values), 0.999) == 100.0
    assert percentile([3.0], 0.5) == 3.0


def test_of_nothing_there_is_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))


@pytest.mark.parametrize(
    ("share", "count", "place"),
    [(0.0, 10, 1), (0.5, 1, 1), (0.5, 3, 2), (0.99, 101, 100), (0.999, 1_000_000, 999_000), (1.0, 7, 7)],
)
def test_the_place_of_a_share_is_rounded_up_and_not_beyond_a_whole_number(
    share: float, count: int, place: int
) -> None:
    assert rank(share, count) == place


def test_the_middle_of_draws_leaves_as_many_out_on_either_side() -> None:
    low, high = middle(range(1, 1001), 0.95)
    assert (low, high) == (25.0, 975.0)
    assert middle([2.0] * 9) == (2.0, 2.0)


def test_percentiles_are_named_as_people_write_them() -> None:
    assert [percentile_name(share) for share in (0.5, 0.95, 0.999)] == ["p50", "p95", "p99.9"]
