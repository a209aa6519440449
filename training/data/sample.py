"""What a data set's layout yields, before any face is looked for: pictures with their labels.

A layout (training.data.readers) reads a data set as its makers release it and yields a `Sample` a
picture; `training.data.prepare` finds and crops the face and moves the labels with it.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

SPLITS = ("train", "validation", "test")


class LayoutError(ValueError):
    """A folder is not laid out as the data set is: the sentence names what is missing and where."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture and what is known of the face in it.

    Labels are written by the task's kind (training.data.labels has the details):
      classes     "female", or {"happiness": 0.9, "neutral": 0.1}: probabilities of all known classes
      multilabel  {"AU1": 0.0, "AU12": 1.0}: values in [0, 1]; labels left out are not known
      value       [low, high]; equal for an exact value
      rotation    [yaw, pitch, roll] in degrees, as runtime.pose has them
      points      [[x, y] or None, ...] in pixels of the picture, in catalogue order; whole numbers are
                  pixel centres
    A mask is not among the labels: it is `mask`.
    """

    key: str  # unique in its set; what stands in messages, usually the path below --source
    picture: Path | Callable[[], NDArray[np.uint8]]  # a file, or a function that gives RGB [H, W, 3]
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # by task, in the picture's pixels
    split: str  # one of SPLITS
    person: str = ""  # who it is, where the set knows
    subset: str = ""  # a named part of a split ("challenge"); of several, all, joined by commas
    # x0, y0, x1, y1: the face that is meant. Without it, it is that of `landmarks`, else the central one.
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
    """An entry of the data set that can't be understood: left out, counted and listed."""

    key: str
    why: str  # a few words: "its name is not age_gender_race_date"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expected:
    """What the official release has."""

    counts: Mapping[str, int]  # split (or "all") -> pictures; empty: nothing to hold it to
    files: Sequence[str] = ()  # paths below --source that must be there


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """A data set in its official layout."""

    name: str  # as in `prepare NAME`
    title: str  # how people call it, with its paper or page
    licence: str  # short: "CC BY 4.0", "non-commercial research"
    tasks: tuple[str, ...]  # what its labels are for
    tree: str  # the official layout as a short tree, shown when something is missing
    expected: Expected
    # Yields samples in a fixed order without opening pictures, decides splits, keeps no state: it is
    # called twice, once to count. Raises LayoutError for a missing index file or folder; yields a
    # BadSample for a malformed entry.
    read: Callable[[Path], Iterator[Sample | BadSample]]


def five_of_68(points: ArrayLike) -> NDArray[np.float64]:
    """Right eye, left eye, nose tip, right and left mouth corner [5, 2] of iBUG's 68 points [68, 2].

    An eye is the mean of its six points. Right is the subject's right, on the picture's left. Points
    that are not known (NaN) leave theirs NaN.
    """
    known = np.asarray(points, dtype=np.float64)
    if known.shape != (68, 2):
        raise ValueError(f"68 points (x, y) are needed, not an array of shape {known.shape}")
    return np.stack([known[36:42].mean(axis=0), known[42:48].mean(axis=0), known[30], known[48], known[54]])
