"""What the server answers about a task of a contract that was read as plain JSON."""

from collections.abc import Mapping
from typing import Any

from runtime.contract import TaskEntry
from runtime.heads import answer_tensors
from runtime.kinds.base import AnswerTensor


def answers_of(entry: Mapping[str, Any]) -> tuple[AnswerTensor, ...]:
    """The tensors of the answer to the task of this entry."""
    return answer_tensors(TaskEntry.parse(entry, number=0))


def usual_answers_of(entry: Mapping[str, Any]) -> tuple[AnswerTensor, ...]:
    """Those that the gateway lets a model make for a request that names none."""
    return tuple(answer for answer in answers_of(entry) if not answer.on_request)
