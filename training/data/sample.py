"""What a reader yields, before any face is detected: pictures with their labels.

A reader (training.data.readers) reads a data set as it is released and yields one `Sample` a picture.
`training.data.prepare` detects and crops the face and transforms the labels with it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture and the labels of the face in it.

    Labels are written by the task's kind (training.data.labels has the details):
      classes     "female", or {"happiness": 0.9, "neutral": 0.1}: probabilities of all known classes
      multilabel  {"AU1": 0.0, "AU12": 1.0}: values in [0, 1]; labels left out are not known
      value       [low, high]; equal for an exact value
      rotation    [yaw, pitch, roll] in degrees, as runtime.pose has them
      points      [[x, y] or None, ...] in pixels of the picture, in catalogue order; whole numbers are
                  pixel centres
    A mask is not among the labels: it is `mask`.
    """

    key: str  # unique in its set, used in messages; usually the path below --source
    picture: Path | Callable[[], NDArray[np.uint8]]  # a file, or a function that gives RGB [H, W, 3]
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # by task, in the picture's pixels
    split: str  # one of SPLITS
    person: str = ""  # identity, where the set has it
    subset: str = ""  # a named part of a split ("challenge"); of several, all, joined by commas
    # x0, y0, x1, y1 of the labelled face. Without it, it is the face at `landmarks`, else the central one.
    box: tuple[float, float, float, float] | None = None
    # [5, 2]: right eye, left eye, nose tip, right and left mouth corner, for where the detector finds no
    # face. Those of 68 labelled points need not be given: prepare takes them from the label.
    landmarks: NDArray[np.float64] | None = None
    mask: Path | Callable[[], NDArray[np.uint8]] | None = None  # class ids [H, W] of the picture; 255 unknown
    mask_task: str = "parsing"

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"{self.key}: split {self.split!r} is none of {', '.join(SPLITS)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadSample:
    """A malformed entry of the data set: it is left out, counted and listed."""

    key: str
    reason: str  # a few words: "its name is not age_gender_race_date"


def five_of_68(points: ArrayLike) -> NDArray[np.float64]:
    """Right eye, left eye, nose tip, right and left mouth corner [5, 2] of iBUG's 68 points [68, 2].

    An eye is the mean of its six points. Right is the subject's right, on the picture's left. Points
    that are not known (NaN) leave theirs NaN.
    """
    known = np.asarray(points, dtype=np.float64)
    if known.shape != (68, 2):
        raise ValueError(f"68 points (x, y) are needed, not an array of shape {known.shape}")
    return np.stack([known[36:42].mean(axis=0), known[42:48].mean(axis=0), known[30], known[48], known[54]])
