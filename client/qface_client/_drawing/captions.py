"""What is written beside a face. Each answer knows its own rows."""

from ..kinds.base import Row
from ..results import Face

COMPACT_LINES = 3


def full(face: Face) -> list[Row]:
    """A row or several for each answer that is read rather than looked at."""
    return [row for task, answer in face.answers.items() for row in answer.caption(task)]


def looked_at(face: Face) -> list[Row]:
    """A row for each answer that a drawing shows and `full` leaves out."""
    return [row for task, answer in face.answers.items() for row in answer.drawn_caption(task)]


def compact(face: Face) -> list[Row]:
    """A few short lines for a face among many: single labels and numbers only."""
    return [row for answer in face.answers.values() for row in answer.short_caption()][:COMPACT_LINES]
