"""COFW: 29 points, each marked as visible or occluded.

Burgos-Artizzu, Perona, Dollar, Robust Face Landmark Estimation under Occlusion, ICCV 2013: 1,345 faces
for training (the first 845 are LFPW's, hardly occluded; 500 are COFW's own) and 507 for testing. Of the
29 points 21 lie where iBUG's do: they are the landmarks' labels, the other landmarks are not known.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.point_files import points_label
from training.data.reader_tools.source_files import find_path
from training.data.sample import BadSample, Sample
from training.tasks import CATALOGUE

_VISIBILITY = CATALOGUE["visibility"]
_POINTS = 29
_FROM_LFPW = 845
# Pupils, nose tip, corners of the mouth; COFW's left is the picture's, the subject's right.
_FIVE = [
    _VISIBILITY.labels.index(name)
    for name in ("left_pupil", "right_pupil", "nose_tip", "mouth_left", "mouth_right")
]

# Split -> file, then its pictures and its annotations.
_FILES = {
    "train": ("COFW_train_color.mat", "IsTr", "phisTr"),
    "test": ("COFW_test_color.mat", "IsT", "phisT"),
}

_INSIDE_ZIP = "common/xpburgos/behavior/code/pose"  # where COFW_color.zip puts them


@dataclasses.dataclass(frozen=True)
class StoredPicture:
    """One of the pictures inside a .mat file: calling it reads it, RGB [H, W, 3]."""

    file: Path
    cell: str  # the cell array's name
    index: int  # in it

    def __call__(self) -> NDArray[np.uint8]:
        with h5py.File(self.file, "r") as mat:
            # MATLAB's axes come in reverse: [3, W, H], or [W, H] for a grey picture.
            pixels = np.asarray(mat[mat[self.cell][0, self.index]]).T
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise OSError(f"{self.file.name}: picture {self.index + 1} of {self.cell} is no 8-bit picture")
        return np.ascontiguousarray(pixels)


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every picture in the files' order."""
    for split, (name, cell, annotations) in _FILES.items():
        path = find_path(source, name, f"{_INSIDE_ZIP}/{name}", what=f"COFW's {split} file")
        for index, row in enumerate(_rows(path, cell=cell, annotations=annotations)):
            key = f"{name}#{index + 1}"
            # 29 x, 29 y, 29 flags: 1 is occluded.
            points = row[: 2 * _POINTS].reshape(2, _POINTS).T - 1.0  # MATLAB's first pixel is 1
            occluded = row[2 * _POINTS :]
            if not np.isfinite(points).all() or not np.isin(occluded, (0.0, 1.0)).all():
                yield BadSample(key=key, reason="its annotation is not 29 points and 29 flags of 0 or 1")
                continue
            yield Sample(
                key=key,
                picture=StoredPicture(path, cell, index),
                labels={
                    "visibility": dict(zip(_VISIBILITY.labels, (1.0 - occluded).tolist(), strict=True)),
                    "landmarks": points_label(_landmarks(points)),
                },
                split=split,
                subset="lfpw" if split == "train" and index < _FROM_LFPW else "",
                landmarks=points[_FIVE],
            )


def _rows(path: Path, *, cell: str, annotations: str) -> NDArray[np.float64]:
    """The annotations [N, 87] of a file's N pictures; LayoutError for a file that is not COFW's."""
    try:
        with h5py.File(path, "r") as mat:
            rows = np.asarray(mat[annotations], dtype=np.float64).T
            pictures = mat[cell].shape[1]
    except (OSError, KeyError, IndexError):
        raise LayoutError(
            f"{path} is not COFW's MATLAB 7.3 file with {cell} and {annotations}: fetch it again"
        ) from None
    if rows.shape != (pictures, 3 * _POINTS):
        raise LayoutError(f"{path} has {rows.shape} annotations for {pictures} pictures: fetch it again")
    return rows


def _landmarks(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 68 landmarks [68, 2] of COFW's 29 points, NaN where COFW has none."""
    landmarks = np.full((68, 2), np.nan)
    assert _VISIBILITY.aligned_labels is not None
    for label, point in zip(_VISIBILITY.labels, points, strict=True):
        index = _VISIBILITY.aligned_labels[label]
        if index is not None:
            landmarks[index] = point
    return landmarks


READER = Reader(
    name="cofw",
    title="COFW, colour (Burgos-Artizzu et al., ICCV 2013)",
    licence="research only",
    page="http://www.vision.caltech.edu/xpburgos/ICCV13/ (now https://data.caltech.edu): COFW_color.zip",
    tasks=("visibility", "landmarks"),
    tree="""\
COFW_train_color.mat    IsTr: 1,345 pictures; phisTr: 29 x, 29 y, 29 occlusion flags
COFW_test_color.mat     IsT: 507 pictures; phisT""",
    expected=Expected(counts={"train": 1345, "test": 507}),
    read=read,
    deviations={"landmarks": "21 of its 29 points"},
)
