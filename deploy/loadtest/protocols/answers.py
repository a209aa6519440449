"""Cheap checks of answers, by the shapes of their tensors alone."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self

from deploy.loadtest.protocols.base import WRONG, Reply
from deploy.loadtest.work.question import Question
from qface_client.reading import FACE_OUTPUTS

_PLACES = FACE_OUTPUTS[0]  # [N, 4] of an answer to a photo


def faces_in(shapes: Mapping[str, Sequence[int]]) -> int:
    """Rows of the faces' places, or of the first tensor where an answer has none of those."""
    shape = shapes.get(_PLACES) or next(iter(shapes.values()), ())
    return int(shape[0]) if shape else 0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What an answer to a question has.

    outputs     by name; none: any
    faces       None: an answer has no number of them
    """

    outputs: frozenset[str]
    faces: int | None

    @classmethod
    def of(cls, question: Question) -> Self:
        return cls(outputs=frozenset(question.outputs), faces=question.faces)

    def reply(self, shapes: Mapping[str, Sequence[int]]) -> Reply:
        """OK with the answer's faces, or WRONG with what differs."""
        if not shapes:
            return Reply(code=WRONG, details="the answer has no tensors")
        if lacking := self.outputs - shapes.keys():
            return Reply(code=WRONG, details=f"the answer lacks {', '.join(sorted(lacking))}")
        return Reply() if self.faces is None else self.counted(faces_in(shapes))

    def counted(self, faces: int) -> Reply:
        """The same of an answer of which only the number of faces is known."""
        if self.faces is not None and faces != self.faces:
            return Reply(code=WRONG, details=f"the answer has {faces} faces, where {self.faces} were before")
        return Reply(faces=faces)
