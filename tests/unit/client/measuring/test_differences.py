"""What counts as a difference: not chance, at the stated rate, and not less than the floor."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from qface_client.measuring.differences import (
    Blocks,
    difference,
    median,
    once,
    percentile,
    quotient,
    student_quantile,
)
from qface_client.measuring.histogram import Histogram


def windows(random: np.random.Generator, *, count: int, scale: float = 1.0) -> list[Histogram]:
    """Of latencies whose level differs from window to window."""
    return [
        Histogram.of(scale * random.lognormal(-3, 0.4, size=random.poisson(120)) * random.lognormal(0, 0.05))
        for _ in range(count)
    ]


QUANTITIES: dict[str, Callable[[Sequence[Histogram]], Blocks]] = {
    "p50": lambda held: percentile(held, 0.5),
    "p99": lambda held: percentile(held, 0.99),
    "mean": lambda held: quotient([each.total for each in held], [each.count for each in held]),
    "median of rounds": lambda held: median([each.mean for each in held]),
}


@pytest.mark.parametrize("count", [3, 8])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_runs_of_the_same_differ_beyond_noise_as_rarely_as_the_level_states(
    quantity: str, count: int
) -> None:
    random, blocks = np.random.default_rng(5), QUANTITIES[quantity]
    found = [
        difference(
            blocks(windows(random, count=count)), blocks(windows(random, count=count)), floor=0.0, level=0.95
        )
        for _ in range(200)
    ]
    # 5 % of 200 are 10; 17 and more come with a probability of 2.3 %.
    assert sum(each.beyond_noise for each in found) < 17
    assert all(each.low is not None and each.high is not None and each.low < each.high for each in found)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_planted_change_is_found_with_its_size(quantity: str) -> None:
    random, blocks = np.random.default_rng(6), QUANTITIES[quantity]
    before, after = windows(random, count=10), windows(random, count=10, scale=1.5)
    found = difference(blocks(before), blocks(after))
    assert found.beyond_noise
    assert found.low is not None
    assert found.high is not None
    assert 1.05 < found.low < 1.5 < found.high < 2.1
    assert found.low < 1 + found.change < found.high


def test_a_change_below_the_floor_is_none_however_sure_it_is() -> None:
    before, after = quotient([100.0] * 8, [1.0] * 8), quotient([103.0] * 8, [1.0] * 8)
    assert not difference(before, after, floor=0.05).beyond_noise
    assert difference(before, after, floor=0.02).beyond_noise


def test_one_window_with_a_stall_makes_no_difference_of_the_others() -> None:
    """It scatters with whether that window is drawn: nothing is known of the next run."""
    steady = [Histogram.of(np.full(100, 0.05) + 0.001 * index) for index in range(6)]
    stalled = [*steady[:5], Histogram.of(np.linspace(0.05, 5.0, 100))]
    assert not difference(percentile(steady, 0.99), percentile(stalled, 0.99)).beyond_noise


def test_errors_are_compared_by_their_difference_since_there_were_none_before() -> None:
    due = [500.0] * 8
    none, some = quotient([0.0] * 8, due), quotient([9.0, 11, 10, 12, 8, 10, 9, 11], due)
    found = difference(none, some, floor=0.001, absolute=True)
    assert found.beyond_noise
    assert found.low is not None
    assert 0.015 < found.low < found.after < 0.025
    assert not difference(none, none, floor=0.001, absolute=True).beyond_noise


def test_what_began_from_nothing_is_infinitely_far() -> None:
    found = difference(quotient([0.0] * 5, [10.0] * 5), quotient([5.0, 6, 5, 4, 5], [10.0] * 5))
    assert found.beyond_noise
    assert found.low == math.inf


def test_two_windows_that_have_nothing_in_common_exclude_nothing() -> None:
    before, after = (
        [Histogram.of([least]), Histogram.of([most])] for least, most in ((0.001, 60), (0.01, 5))
    )
    found = difference(percentile(before, 0.99), percentile(after, 0.99), level=0.999)
    assert (found.low, found.high, found.beyond_noise) == (0, math.inf, False)


def test_what_was_measured_once_needs_twice_the_floor() -> None:
    assert not once(100.0, 109.0, floor=0.05).beyond_noise
    assert once(100.0, 111.0, floor=0.05).beyond_noise
    assert not difference(quotient([1.0], [1.0]), quotient([1.09], [1.0]), floor=0.05).beyond_noise
    assert not once(math.nan, 1.0).beyond_noise


def test_windows_without_an_answer_give_no_figure_and_no_difference() -> None:
    empty = [Histogram.of([])] * 3
    found = difference(percentile(empty, 0.5), percentile([Histogram.of([0.1])] * 3, 0.5))
    assert math.isnan(found.before)
    assert not found.beyond_noise


def test_drift_over_many_windows_is_not_counted_as_many_independent_ones() -> None:
    """600 windows that follow a slow wave know less than 600 draws."""
    wave = 1 + 0.2 * np.sin(np.linspace(0, 2 * math.pi, 600))
    found = difference(quotient(wave, np.ones(600)), quotient(wave[::-1] * 1.06, np.ones(600)), floor=0.0)
    assert not found.beyond_noise


@pytest.mark.parametrize(
    ("share", "freedom", "quantile"),
    [
        (0.975, 1, 12.706),
        (0.975, 4, 2.776),
        (0.975, 9, 2.262),
        (0.9995, 5, 6.869),
        (0.95, 120, 1.658),
        (0.5, 3, 0.0),
    ],
)
def test_students_quantiles_are_those_of_the_tables(share: float, freedom: int, quantile: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(quantile, abs=6e-4)
