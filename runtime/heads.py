"""The heads of a contract: every output of its network by name, and the answers that are made of it.

A task T has the head T, of its kind. Where its entry has an `error` it has a second one, T_error. Whoever
needs all outputs of a network, or all tensors of an answer, takes them from here.
"""

import dataclasses

from runtime.contract import Contract, TaskEntry
from runtime.kinds import kind_of
from runtime.kinds.base import AnswerTensor, HeadKind, HeadTensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskHead:
    """An output of the network."""

    name: str
    entry: TaskEntry  # of the task that it answers
    kind: HeadKind

    @property
    def tensor(self) -> HeadTensor:
        """Its type and shape."""
        return self.kind.head(len(self.entry.labels))

    @property
    def answer_tensors(self) -> tuple[AnswerTensor, ...]:
        """The tensors that are made of it."""
        return self.kind.answer_tensors(self.entry)


def task_heads(entry: TaskEntry) -> tuple[TaskHead, ...]:
    """The heads of a task, its own first. ValueError for a kind that is unknown, or that has no error."""
    kind = kind_of(entry)
    own = TaskHead(name=entry.name, entry=entry, kind=kind)
    if entry.error is None:
        return (own,)
    if kind.error is None:
        raise ValueError(f"task {entry.name!r} states an error, which answers of kind {kind.name} have not")
    return (own, TaskHead(name=f"{entry.name}_error", entry=entry, kind=kind.error))


def heads_of(contract: Contract) -> dict[str, TaskHead]:
    """Every head of a contract's network by its name, in the contract's order; ValueError as `task_heads`."""
    return {head.name: head for entry in contract.tasks for head in task_heads(entry)}


def answer_tensors(entry: TaskEntry) -> tuple[AnswerTensor, ...]:
    """Every tensor of a task's answer; ValueError as `task_heads`."""
    return tuple(tensor for head in task_heads(entry) for tensor in head.answer_tensors)
