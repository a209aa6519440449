"""What a kind shows people of a label or an answer, side by side while a network learns."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from training.kinds.forms import Rows
from training.task_type import Task

if TYPE_CHECKING:
    from training.data.prepared.face_set import FaceSet

Picture = NDArray[np.uint8]  # RGB [S, S, 3], a crop as a network sees it, at any size

_MOST_NAMES = 4  # of a long list


class Showing:
    """A base of Kind. A row is one face's label or answer, as `label_rows` and `Kind.answer_rows` have it."""

    drawn_first: ClassVar[bool] = False  # below what others draw

    def label_rows(
        self, task: Task, faces: "FaceSet", indices: NDArray[np.int64], *, size: int
    ) -> NDArray[np.generic] | None:
        """The labels of these faces of a set, in its form; None for a set without. `size`: of the crop."""
        column = faces.columns.get(task.name)
        return None if column is None else column[indices]

    def caption(self, task: Task, row: Rows) -> str:
        """A row in a few words; "": nothing is known, or it is drawn."""
        return ""

    def draw(self, task: Task, picture: Picture, row: Rows) -> None:
        """Draws a row on a picture, in place; most kinds have words alone."""


def some_names(names: list[str]) -> str:
    """Names as text, the first ones of many."""
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"
