"""Masks as pictures: PNG of 8-bit grey with class ids, and the map from their pixels to the photo's."""

import io
from typing import Any

from qface_client.contract import TaskSpec
from qface_client.kinds import KINDS
from qface_client.kinds.mask import Mask, Masks
from qface_client.results import Face

_LEVEL = 6  # zlib's, so that the same mask gives the same bytes


def mask_columns(task: TaskSpec) -> tuple[str, str] | None:
    """The columns of a task's mask, its picture and its map [6] row by row; None: its answer is no mask."""
    if not isinstance(KINDS[task.kind], Masks):
        return None
    return f"{task.name}.png", f"{task.name}.map"


def mask_cells(face: Face) -> dict[str, Any]:
    """The cells of a face's masks."""
    from PIL import Image

    cells: dict[str, Any] = {}
    for task in face.contract.tasks if face.contract is not None else ():
        answer = face.answers.get(task.name)
        if isinstance(answer, Mask) and (names := mask_columns(task)) is not None:
            sink = io.BytesIO()
            Image.fromarray(answer.ids).save(sink, "PNG", compress_level=_LEVEL)
            cells |= dict(zip(names, (sink.getvalue(), answer.to_photo.ravel().tolist()), strict=True))
    return cells
