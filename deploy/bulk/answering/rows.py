"""An answer of the client as plain data."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from deploy.bulk.answering.base import Request
from deploy.bulk.answering.masks import mask_cells
from deploy.bulk.photo import Answered
from qface_client import FaceClient, __version__
from qface_client.local.versions import installed_versions
from qface_client.results import Analysis
from qface_client.tables import rows

# Of a photo, not of its faces; they stand in the table of photos, or are added with the chunk's other rows.
_OF_PHOTO = ("file", "photo", "width", "height", "faces_found", "faces_below_quality", "error")


def answered(analysis: Analysis, *, masks: bool) -> Answered:
    """The photo's size and a row a face, without what is the same in all rows."""
    return Answered(
        width=analysis.width,
        height=analysis.height,
        faces_found=analysis.faces_found,
        faces_below_quality=analysis.faces_below_quality,
        faces=list(_faces(analysis, masks=masks)),
    )


def check_search(client: FaceClient, request: Request, *, model: str | None) -> None:
    """Raise what there is against the search, by a picture of one colour: else each photo would fail."""
    if search := request.search.given():
        client.analyze(np.zeros((64, 64, 3), np.uint8), request.tasks, model=model, **search)


def _faces(analysis: Analysis, *, masks: bool) -> Iterator[dict[str, Any]]:
    for face, row in zip(analysis.faces, rows(analysis), strict=True):
        for name in _OF_PHOTO:
            row.pop(name, None)
        yield row | (mask_cells(face) if masks else {})


def library_versions() -> dict[str, str]:
    """The versions of what reads pictures and computes: another release may give other digits."""
    return {"qface-client": __version__, **installed_versions()}
