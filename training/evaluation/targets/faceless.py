"""Photos without a face, of which a server should answer none."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.prepared.face_set import read_manifest
from training.data.quality_set.faceless import find_photos, name_hash
from training.tasks import FACE_QUALITY

_IN_FLIGHT = 8


def unseen_photos(folder: Path, *, data: Path) -> list[Path]:
    """The photos of a folder without faces; without those from which the quality was learned or chosen.

    Which those are follows from the prepared set of the quality in `data`; without that set, all are taken.
    """
    names = find_photos(folder)
    try:
        learned = float(read_manifest(data / FACE_QUALITY)["options"]["background_share"])
    except (ValueError, KeyError):
        return [folder / name for name in names]
    # The first half of what training left alone is what the minimum is chosen by (evaluation.quality).
    return [folder / name for name in names if name_hash(name) >= (1 + learned) / 2]


def photos_answered(photos: Sequence[Path], faces_answered: Callable[[Path], int]) -> NDArray[np.float64]:
    """[N] 1 for each photo that is answered with a face, else 0."""
    with ThreadPoolExecutor(_IN_FLIGHT) as pool:
        return np.array([float(count > 0) for count in pool.map(faces_answered, photos)])
