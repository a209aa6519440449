"""What the server answers about a task of a contract that was read as plain JSON."""

from collections.abc import Mapping
from typing import Any

from runtime.contract import TaskEntry
from runtime.kinds.base import AnswerTensor
from runtime.postprocess import answer_tensors


def answers_of(entry: Mapping[str, Any]) -> tuple[AnswerTensor, ...]:
    """The tensors of the answer to the task of this entry."""
    return answer_tensors(TaskEntry.parse(entry, number=0))
