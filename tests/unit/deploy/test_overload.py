"""deploy.benchmark.overload: what becomes of each request is counted, and put in a table."""

from collections import Counter

import numpy as np
import pytest

from deploy.benchmark.load.sample_requests import picture, question_of
from deploy.benchmark.overload import Measurement, Tally, row
from deploy.loadtest.generator import RECORD, Records
from deploy.loadtest.loads import ClosedLoop, Load
from deploy.loadtest.protocols.v2_grpc import request_of
from deploy.loadtest.work.question import Question

CODES = ("OK", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE")


def records(*ends: tuple[float, float, int]) -> Records:
    """Of requests: due, ended, code."""
    return np.array([(due, due, ended, 0, code, 0) for due, ended, code in ends], RECORD)


class FakePool:
    """A generator whose requests took 0.1 s, one every second; every fourth was refused."""

    def __init__(self) -> None:
        self.loads: list[tuple[Load, float]] = []

    def run(self, load: Load, seconds: float) -> tuple[Records, tuple[str, ...]]:
        self.loads.append((load, seconds))
        ends = [(100.0 + n, 100.1 + n, int(n % 4 == 3)) for n in range(int(seconds))]
        return records(*ends), CODES


def test_every_request_is_counted_by_its_end() -> None:
    tally = Tally.of(records((0, 1, 0), (1, 3, 0), (2, 2.5, 1), (3, 3.25, 3), (4, 5, 2)), CODES)
    assert tally == Tally(answered=[1.0, 2.0], refused=[0.5, 0.25], others=Counter(INTERNAL=1))


def test_of_no_requests_there_is_nothing() -> None:
    assert Tally.of(records(), ()) == Tally(answered=[], refused=[])


def test_what_was_due_while_the_server_learned_does_not_count() -> None:
    pool = FakePool()
    measurement = Measurement(pool, seconds=16.0, learning=0.25)  # type: ignore[arg-type]
    assert measurement.capacity() == pytest.approx(12 / 16)
    tally = measurement.offered(3.0)
    assert (len(tally.answered), len(tally.refused)) == (12, 4)
    assert [seconds for _, seconds in pool.loads] == [20.0, 20.0]
    assert [type(load) is ClosedLoop for load, _ in pool.loads] == [True, False]


def test_the_table_has_rates_other_ends_and_percentiles() -> None:
    tally = Tally(answered=[0.1, 0.2], refused=[0.01], others=Counter(INTERNAL=1))
    line = row("4 x", tally, offered=40, seconds=2)
    assert line == "| 4 x | 40.0 | 1.0 | 0.5 | 1 INTERNAL | 100 | 200 | 200 | 10 |"


def test_a_sample_request_is_the_same_as_a_question() -> None:
    pixels = picture(1, size=8)[None]
    sent = request_of(
        Question(kind="m", model="m", inputs={"crop": pixels, "x": np.full((1, 2), np.nan, np.float32)})
    )
    assert request_of(question_of(sent)) == sent
