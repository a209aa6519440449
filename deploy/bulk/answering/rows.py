"""An answer of the client as plain data."""

import importlib.metadata
from collections.abc import Iterator
from typing import Any

from deploy.bulk.answering.masks import mask_cells
from deploy.bulk.photo import Answered
from qface_client.results import Analysis
from qface_client.tables import rows

# What reads pictures and computes: another release of these may give other digits.
_LIBRARIES = ("opencv-python-headless", "openvino", "simplejpeg", "pillow", "numpy", "qface-client")
# Of a photo, not of its faces; they stand in the table of photos, or are added with the chunk's other rows.
_OF_PHOTO = ("file", "photo", "width", "height", "faces_found", "error")


def answered(analysis: Analysis, *, masks: bool) -> Answered:
    """The photo's size and a row a face, without what is the same in all rows."""
    return Answered(
        width=analysis.width,
        height=analysis.height,
        faces_found=analysis.faces_found,
        faces=list(_faces(analysis, masks=masks)),
    )


def _faces(analysis: Analysis, *, masks: bool) -> Iterator[dict[str, Any]]:
    for face, row in zip(analysis.faces, rows(analysis), strict=True):
        for name in _OF_PHOTO:
            row.pop(name, None)
        yield row | (mask_cells(face) if masks else {})


def library_versions() -> dict[str, str]:
    """The versions of the libraries that read pictures and compute, of those that are installed."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
