"""Photos without a face, of which a server should answer none."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.quality_set import faceless as quality_set_faceless
from training.data.quality_set.faceless import find_photos
from training.tasks import FACE_QUALITY

_IN_FLIGHT = 8


def unseen_photos(folder: Path, *, data: Path) -> list[Path]:
    """The photos of a folder without faces; without those from which the quality was learned or chosen.

    Which those are follows from the prepared set of the quality in `data`; without that set, all are taken.
    """
    names = find_photos(folder)
    if (data / FACE_QUALITY / "manifest.json").exists():
        names = quality_set_faceless.unseen_photos(names, quality_set=data / FACE_QUALITY)[1]
    return [folder / name for name in names]


def photos_answered(photos: Sequence[Path], faces_answered: Callable[[Path], int]) -> NDArray[np.float64]:
    """[N] 1 for each photo that is answered with a face, else 0."""
    with ThreadPoolExecutor(_IN_FLIGHT) as pool:
        return np.array([float(count > 0) for count in pool.map(faces_answered, photos)])
