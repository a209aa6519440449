"""Servers that answer a run: one that goes away, all that go away, one that answers by another contract."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from deploy.bulk.statuses import STOPPED
from tests.helpers.bulk_runs import Run, run_here
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, serve

MIDDLE = 21


@pytest.fixture
def second(fake: FakeServer) -> Iterator[str]:
    """Another server of the same contract."""
    yield from serve(FakeServer(fake.contract))


class GoneFrom:
    """A server that is not there for photos from this number on, until `back`."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.back = False

    def __call__(self, number: int, context: grpc.ServicerContext) -> None:
        if number >= self._first and not self.back:
            context.abort(grpc.StatusCode.UNAVAILABLE, "made by a test")


def test_of_two_servers_one_is_enough(
    folder: Path, words: tuple[str, ...], fake: FakeServer, second: str, whole: Run, tmp_path: Path
) -> None:
    fake.before_infer = GoneFrom(8)
    first = words[words.index("--url") + 1]
    output = tmp_path / "run"
    run_here(folder, "--output", output, *words, "--url", f"{first},{second}")
    assert [row["status"] for row in Run(output).photos] == [row["status"] for row in whole.photos]


def test_without_a_server_the_run_stops_and_goes_on_once_one_is_back(
    folder: Path,
    words: tuple[str, ...],
    fake: FakeServer,
    whole: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake.before_infer = gone = GoneFrom(MIDDLE)
    output = tmp_path / "run"
    assert run_here(folder, "--output", output, *words, "--timeout", "1") == STOPPED
    sentence = capsys.readouterr().err.strip().rpartition("\n")[2]
    assert sentence.startswith("bulk: ")
    assert Run(output).files.items() <= whole.files.items()
    gone.back = True
    run_here(folder, "--output", output, *words)
    assert Run(output).files == whole.files


def test_answers_of_another_contract_end_the_run_instead_of_mixing_in(
    folder: Path, words: tuple[str, ...], fake: FakeServer, whole: Run, tmp_path: Path
) -> None:
    before = fake.contract

    def swap(number: int, context: grpc.ServicerContext) -> None:
        if number == MIDDLE:
            fake.contract = contract_of(classes("mood", ["sad", "glad"]))

    fake.before_infer = swap
    output = tmp_path / "run"
    try:
        assert run_here(folder, "--output", output, *words) not in (0, 3)
    finally:
        fake.contract = before
    assert Run(output).files.items() <= whole.files.items()
