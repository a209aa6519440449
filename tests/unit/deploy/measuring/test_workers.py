"""A worker answers one request after the other, and an error of its own is a sentence here."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.measuring.workers import Worker, WorkerError, call_together
from tests.helpers.paths import ROOT

SOURCE = """
import os

from deploy.measuring.workers import answer_requests


def double(number):
    print("what a library prints is no answer")
    return {"number": 2 * number}


def fail():
    raise ValueError("not today")


answer_requests({"double": double, "fail": fail, "die": lambda: os._exit(3)})
"""


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Worker]]:
    (tmp_path / "doubling.py").write_text(SOURCE)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with (
        Worker(sys.executable, "doubling", folder=tmp_path) as one,
        Worker(sys.executable, "doubling", folder=tmp_path) as other,
    ):
        yield [one, other]


def test_requests_are_answered_by_method_each_by_its_worker(workers: list[Worker]) -> None:
    assert workers[0].call(do="double", number=21) == {"number": 42}
    calls = [(worker, {"do": "double", "number": number}) for number, worker in enumerate(workers)]
    assert call_together(calls) == [{"number": 0}, {"number": 2}]


def test_an_error_is_raised_here_and_the_worker_goes_on(workers: list[Worker]) -> None:
    one, other = workers
    with pytest.raises(WorkerError, match="ValueError: not today"):
        call_together([(one, {"do": "fail"}), (other, {"do": "double", "number": 1})])
    assert [worker.call(do="double", number=2)["number"] for worker in workers] == [4, 4]


def test_a_worker_that_ends_is_named_with_its_status(workers: list[Worker]) -> None:
    with pytest.raises(WorkerError, match="doubling ended with status 3"):
        workers[0].call(do="die")
    with pytest.raises(WorkerError, match="ended"):
        workers[0].call(do="double", number=1)
