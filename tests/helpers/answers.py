"""What the server answers about a task of a contract that was read as plain JSON."""

from collections.abc import Mapping
from typing import Any

from runtime.contract import TaskEntry
from runtime.kinds import kind_of
from runtime.kinds.base import AnswerTensor


def answers_of(entry: Mapping[str, Any]) -> tuple[AnswerTensor, ...]:
    """The tensors of the answer to the task of this entry."""
    parsed = TaskEntry.parse(entry, number=0)
    return kind_of(parsed).answer_tensors(parsed)


def usual_answers_of(entry: Mapping[str, Any]) -> tuple[AnswerTensor, ...]:
    """Those that the gateway lets a model make for a request that names none."""
    return tuple(answer for answer in answers_of(entry) if not answer.on_request)
