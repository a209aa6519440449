"""Records become windows as they arrive, whatever their order; gaps and settling are found in them."""

import numpy as np
import pytest

from deploy.loadtest.generator.records import RECORD, CodeTable, Records
from deploy.loadtest.loads import ClosedLoop, OpenLoop
from deploy.loadtest.windows import Arrivals, GapFinder, WindowFold, steady

CODES = ("OK", "UNAVAILABLE")
BEGIN = 1000.0


def records(*rows: tuple[float, float, int, int, int]) -> Records:
    """Rows of due, ended (seconds since BEGIN), kind, code, faces; sent when due."""
    made = np.zeros(len(rows), RECORD)
    for place, (due, ended, kind, code, faces) in enumerate(rows):
        made[place] = (BEGIN + due, BEGIN + due, BEGIN + ended, kind, code, faces)
    return made


def many(count: int, seconds: float, *, seed: int) -> Records:
    random = np.random.default_rng(seed)
    dues = np.sort(random.uniform(0, seconds, count))
    return records(
        *(
            (due, due + took, kind, code, 1 - code)
            for due, took, kind, code in zip(
                dues,
                random.exponential(0.4, count),
                random.integers(0, 2, count),
                random.integers(0, 2, count),
                strict=True,
            )
        )
    )


def folded(parts: list[Records]) -> WindowFold:
    fold = WindowFold(begin=BEGIN, seconds=1.0, kinds=("small", "large"))
    for part in parts:
        fold.add(part, CODES, {"UNAVAILABLE": "the server is full"})
    return fold


def test_a_request_belongs_to_the_window_in_which_it_was_due_and_its_answer_to_that_in_which_it_arrived() -> (
    None
):
    fold = folded([records((0.5, 2.5, 0, 0, 3))])
    first, second, third = fold.windows(BEGIN + 3.0)
    assert (first.due, first.ended, first.faces) == (1, 0, 3)
    assert (second.due, second.ended) == (0, 0)
    assert (third.due, third.ended) == (0, 1)
    assert first.latency["small"].most == pytest.approx(2.0)


def test_records_give_the_same_windows_whatever_the_batches_that_they_arrive_in() -> None:
    whole = many(500, 5.0, seed=1)
    shuffled = np.random.default_rng(2).permutation(whole)
    one, several = folded([whole]), folded(list(np.array_split(shuffled, 17)))
    for left, right in zip(one.windows(BEGIN + 8.0), several.windows(BEGIN + 8.0), strict=True):
        assert (left.due, left.ended, left.faces, left.codes) == (
            right.due,
            right.ended,
            right.faces,
            right.codes,
        )
        assert left.all_latency.counts.tolist() == right.all_latency.counts.tolist()


def test_no_record_is_lost_in_the_windows() -> None:
    fold = folded(list(np.array_split(many(500, 5.0, seed=3), 5)))
    windows = fold.windows(BEGIN + 20.0)
    assert sum(window.due for window in windows) == fold.added == 500
    assert sum(sum(window.codes.values()) for window in windows) == 500
    assert sum(window.ended for window in windows) == sum(window.codes.get("OK", 0) for window in windows)


def test_failures_have_their_first_and_last_time_and_the_first_sentence() -> None:
    fold = folded([records((0.0, 4.0, 0, 1, 0)), records((0.0, 1.5, 0, 1, 0), (0.0, 2.0, 0, 0, 1))])
    (failure,) = fold.failures
    assert (failure.code, failure.count, failure.details) == ("UNAVAILABLE", 2, "the server is full")
    assert (failure.first, failure.last) == (pytest.approx(1.5), pytest.approx(4.0))


def test_a_stage_that_ends_amid_a_window_has_a_shorter_last_one() -> None:
    fold = folded([records((0.5, 0.6, 0, 0, 1), (1.2, 1.3, 0, 0, 1))])
    assert [window.seconds for window in fold.windows(BEGIN + 1.5)] == [1.0, pytest.approx(0.5)]


def test_codes_of_several_processes_share_one_table() -> None:
    table = CodeTable()
    assert [table.number(word) for word in ("OK", "UNAVAILABLE", "OK", "BROKEN")] == [0, 1, 0, 2]


def gap_of(rows: Records, *, until: float = np.inf) -> GapFinder:
    finder = GapFinder(begin=BEGIN)
    for part in np.array_split(rows, 3):
        finder.add(part, part["code"] == 0)
    finder.advance(until)
    return finder


def test_the_longest_time_without_an_answer_counts_while_a_request_waits() -> None:
    finder = gap_of(records((0.0, 0.1, 0, 0, 1), (0.2, 6.0, 0, 0, 1), (5.0, 6.1, 0, 0, 1)))
    assert finder.longest == pytest.approx(5.8)
    assert finder.longest_begin == pytest.approx(BEGIN + 0.2)


def test_a_time_without_requests_is_no_gap() -> None:
    finder = gap_of(records((0.0, 0.1, 0, 0, 1), (60.0, 60.1, 0, 0, 1)))
    assert finder.longest == pytest.approx(0.1)


def test_requests_that_fail_one_after_the_other_are_a_time_without_an_answer() -> None:
    failing = [(at, at + 0.01, 0, 1, 0) for at in np.arange(1.0, 4.0, 0.25)]
    finder = gap_of(records((0.0, 0.9, 0, 0, 1), *failing, (4.0, 4.1, 0, 0, 1)))
    assert finder.longest == pytest.approx(3.1)
    assert finder.failing_since is None


def test_a_server_that_answers_no_more_is_known_since_its_last_answer() -> None:
    finder = gap_of(records((0.0, 0.9, 0, 0, 1), (1.0, 1.01, 0, 1, 0), (1.5, 1.51, 0, 1, 0)))
    assert finder.failing_since == pytest.approx(BEGIN + 1.01)
    assert finder.silent_since == pytest.approx(BEGIN + 1.0)


def test_ends_that_may_still_be_preceded_by_others_wait() -> None:
    rows = records((0.0, 0.1, 0, 0, 1), (0.2, 6.0, 0, 0, 1))
    finder = GapFinder(begin=BEGIN)
    finder.add(rows[1:], rows[1:]["code"] == 0)
    finder.advance(BEGIN + 5.0)
    assert finder.longest == 0.0
    finder.add(records((0.2, 3.0, 0, 0, 1)), np.array([True]))
    finder.advance(BEGIN + 7.0)
    assert finder.longest == pytest.approx(3.0)


def windows(
    *counts_and_medians: tuple[int, float], outstanding: tuple[int, ...] = (0, 0, 0)
) -> list[Arrivals]:
    return [
        Arrivals(ended=ended, failed=0, median=median, outstanding=waits)
        for (ended, median), waits in zip(counts_and_medians, outstanding, strict=True)
    ]


CLOSED, OPEN = ClosedLoop(clients=4), OpenLoop(rate=100)


def test_three_windows_alike_have_settled() -> None:
    assert steady(CLOSED, windows((100, 0.040), (104, 0.041), (98, 0.039)), spread=0.1)


def test_two_windows_are_too_few() -> None:
    assert not steady(CLOSED, windows((100, 0.04), (100, 0.04), outstanding=(0, 0)), spread=0.1)


def test_a_closed_loop_whose_rate_or_median_still_changes_has_not_settled() -> None:
    assert not steady(CLOSED, windows((60, 0.040), (100, 0.041), (100, 0.039)), spread=0.1)
    assert not steady(CLOSED, windows((100, 0.080), (100, 0.041), (100, 0.039)), spread=0.1)


def test_an_open_loop_settles_though_its_arrivals_vary_and_not_while_its_queue_grows() -> None:
    varying = ((70, 0.040), (130, 0.041), (100, 0.039))
    assert steady(OPEN, windows(*varying, outstanding=(3, 4, 3)), spread=0.1)
    assert not steady(OPEN, windows(*varying, outstanding=(3, 40, 80)), spread=0.1)


def test_windows_without_an_answer_have_not_settled() -> None:
    assert not steady(OPEN, windows((0, np.nan), (0, np.nan), (0, np.nan)), spread=0.1)
