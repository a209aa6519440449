"""Small data sets in their makers' form: pictures, .pts files, and a check of what a reader yields."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.labels import checked
from training.data.readers import reader_of
from training.data.sample import BadSample, Sample


def picture(path: Path, *, width: int = 40, height: int = 30) -> None:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)


def pts(path: Path, points: NDArray[np.float64]) -> None:
    """A .pts file of these points [K, 2], with the line ends that some of iBUG's have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
    path.write_text(f"version: 1\r\nn_points:  {len(points)}\r\n{{\r\n{rows}\r\n}}\r\n")


def face(count: int = 68, *, shift: float = 0.0) -> NDArray[np.float64]:
    """Points [count, 2] of which no two are equal."""
    return np.stack([np.arange(count) * 0.5 + 1 + shift, np.arange(count) * 0.25 + 2], axis=1)


def read(name: str, source: Path) -> tuple[list[Sample], list[BadSample]]:
    """What a reader yields; its labels are checked against the catalogue and the reader's tasks."""
    found = list(reader_of(name).read(source))
    assert len({each.key for each in found}) == len(found)
    good = [each for each in found if isinstance(each, Sample)]
    for sample in good:
        assert set(sample.labels) <= set(reader_of(name).tasks)
        assert {task: checked(task, label) for task, label in sample.labels.items()} == dict(sample.labels)
    return good, [each for each in found if isinstance(each, BadSample)]
