"""Callers in threads: each call has one latency, from when it was due, and a failure ends the round."""

import threading
import time

import pytest

from qface_client.measuring.loops import closed_loop, open_loop
from qface_client.measuring.sample import CLIENT


def test_every_client_is_answered_however_short_the_time() -> None:
    sample = closed_loop(lambda: None, clients=3, seconds=0.0)
    assert sample.answers == len(sample.latencies) == 3
    assert list(sample.core_seconds) == [CLIENT]


def test_calls_that_come_on_their_own_are_all_answered() -> None:
    assert open_loop(lambda: None, dues=[0.0] * 50).answers == 50


def test_a_call_does_not_wait_for_those_before_it() -> None:
    together = threading.Barrier(5, timeout=30)
    assert open_loop(together.wait, dues=[0.0, 0.001, 0.002, 0.003, 0.004]).answers == 5


def test_latencies_count_from_when_a_call_was_due_and_not_from_when_it_began() -> None:
    """Where a stall holds all threads, what comes after it has waited too."""
    over, begun = threading.Event(), threading.Lock()
    count = 200  # more than there are threads

    def stall() -> None:
        if begun.acquire(blocking=False):
            threading.Timer(0.1, over.set).start()
        over.wait(30)

    sample = open_loop(stall, dues=[0.0] * count)
    assert len(sample.latencies) == count
    assert min(sample.latencies) >= 0.1


def test_a_call_is_not_made_before_it_is_due() -> None:
    made: list[float] = []
    began = time.monotonic()
    open_loop(lambda: made.append(time.monotonic() - began), dues=[0.0, 0.05, 0.1])
    assert all(at >= due for at, due in zip(sorted(made), (0.0, 0.05, 0.1), strict=True))


def test_a_call_that_fails_ends_the_round() -> None:
    def fail() -> None:
        raise ConnectionError("gone")

    for loop in (
        lambda: closed_loop(fail, clients=2, seconds=60.0),
        lambda: open_loop(fail, dues=[0.0, 0.0]),
    ):
        with pytest.raises(ConnectionError, match="gone"):
            loop()
