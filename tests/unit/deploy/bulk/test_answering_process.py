"""The process that answers: what becomes of the others when a photo kills it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bulk.answering.base import CannotAnswer, Request
from deploy.bulk.answering.process import AnsweringProcess
from deploy.bulk.photo import Answered, Cause, Failed, Outcome
from deploy.bulk.settings import Search
from tests.helpers.bulk_stand_in import StandIn

REQUEST = Request(tasks=("age",), search=Search())


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[AnsweringProcess]:
    process = AnsweringProcess(StandIn(folder=tmp_path, concurrency=2), REQUEST)
    yield process
    process.close()


def outcomes(process: AnsweringProcess, *photos: bytes | Failed) -> dict[int, Outcome]:
    return dict(process.answer(enumerate(photos)))


def test_each_photo_has_its_outcome_and_those_not_read_are_passed_on(answering: AnsweringProcess) -> None:
    unread = Failed(cause=Cause.GONE, reason="it is gone")
    found = outcomes(answering, b"faces 2", unread, b"broken", b"faces 0")
    assert {key: getattr(outcome, "faces_found", None) for key, outcome in found.items()} == {
        0: 2,
        1: None,
        2: None,
        3: 0,
    }
    assert found[1] == unread


def test_a_photo_that_kills_it_fails_and_all_others_are_answered(answering: AnsweringProcess) -> None:
    found = outcomes(answering, b"faces 1", b"kills", b"faces 2", b"faces 3")
    deadly = found.pop(1)
    assert isinstance(deadly, Failed)
    assert deadly.cause is Cause.DEADLY
    assert "was killed (SIGKILL)" in deadly.reason
    assert {key: outcome.faces_found for key, outcome in found.items() if isinstance(outcome, Answered)} == {
        0: 1,
        2: 2,
        3: 3,
    }
    assert outcomes(answering, b"faces 4")[0] == outcomes(answering, b"faces 4")[0]  # and it goes on


def test_a_death_that_does_not_come_again_costs_no_photo(answering: AnsweringProcess) -> None:
    found = outcomes(answering, b"faces 1", b"kills once", b"faces 2")
    assert not [outcome for outcome in found.values() if isinstance(outcome, Failed)]


def test_where_nothing_answers_the_sentence_comes_through(
    tmp_path: Path, answering: AnsweringProcess
) -> None:
    with pytest.raises(CannotAnswer, match="no server answers") as stopped:
        outcomes(answering, b"faces 1", b"stops", b"faces 1")
    assert not stopped.value.refused
    with pytest.raises(CannotAnswer, match="unknown task") as refused:
        AnsweringProcess(StandIn(folder=tmp_path, refused="unknown task mood"), REQUEST)
    assert refused.value.refused


def test_one_that_dies_as_it_starts_is_no_photos_fault(tmp_path: Path) -> None:
    with pytest.raises(CannotAnswer, match=r"was killed \(SIGKILL\) before its first photo"):
        AnsweringProcess(StandIn(folder=tmp_path, dies_at_start=True), REQUEST)
