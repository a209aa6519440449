"""How what happened to callers of several services is counted, and when it fails."""

import dataclasses

import pytest

from deploy.benchmark.load import End, Outcome
from deploy.benchmark.several_services.rounds import Count, Row, table

ANSWERED = Outcome(client="a", model="x", began=0.0, seconds=0.5, end=End.ANSWERED)
WRONG = dataclasses.replace(ANSWERED, end=End.WRONG)
REFUSED = dataclasses.replace(ANSWERED, end=End.REFUSED, code="UNAVAILABLE", seconds=2.0)
LOST = dataclasses.replace(ANSWERED, end=End.LOST, code="DEADLINE_EXCEEDED")


def row(ours: list[Outcome], plain: list[Outcome]) -> Row:
    return Row(
        fault="one killed",
        way="Envoy",
        ours=Count.of(ours),
        plain=Count.of(plain),
        shares=[3, 0, 4],
        seconds=12.3,
    )


def test_a_caller_that_got_an_error_lost_its_answer_whatever_the_error() -> None:
    count = Count.of([ANSWERED, WRONG, REFUSED, LOST, ANSWERED])
    assert (count.sent, count.right, count.wrong, count.lost) == (5, 2, 1, 2)
    assert count.slowest == 2.0


@pytest.mark.parametrize(
    ("ours", "plain", "bad"),
    [
        ([ANSWERED], [ANSWERED], False),
        ([ANSWERED], [ANSWERED, REFUSED], False),  # who sends once may lose
        ([ANSWERED, REFUSED], [ANSWERED], True),
        ([ANSWERED, WRONG], [ANSWERED], True),
        ([ANSWERED], [WRONG], True),
        ([], [ANSWERED], True),  # nothing was shown
    ],
)
def test_a_round_fails_where_a_client_that_tries_again_lost_or_anybody_got_a_wrong_answer(
    ours: list[Outcome], plain: list[Outcome], bad: bool
) -> None:
    assert row(ours, plain).bad is bad


def test_a_way_over_rest_has_no_callers_that_send_once() -> None:
    assert "| 0.5 s |  |  | 3 / 0 / 4 |" in table([row([ANSWERED], [])])


def test_the_table_has_a_line_for_each_row() -> None:
    lines = table([row([ANSWERED] * 7, [ANSWERED, REFUSED])]).splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("| one killed | Envoy | 7 | 7 | 0 | 0 |")
    assert "| 2 | 1 | 3 / 0 / 4 |" in lines[2]
