"""Teacher networks that label unlabelled faces (training.teachers.pseudolabel).

A teacher is a class with the interface of `Teacher`. `TEACHERS` has the module of each, so that a
teacher's packages are needed only where it is used. A teacher's own label names stay in its module. Other
packages add theirs, a class each, as entry points of "qface.teachers".
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.plugins import plugins


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaceLabels:
    """A teacher's labels of the face in one picture.

    `values` are arrays as a teacher file has them (training.data.teacher_labels), without the first axis;
    coordinates are the picture's pixels, integers at pixel centres.
    """

    five: NDArray[np.float32]  # [5, 2]: eyes, nose tip, mouth corners; NaN where not known
    values: Mapping[str, NDArray[np.float32]]  # by task; NaN where not known
    confidence: Mapping[str, float]  # by task, in [0, 1]


class Teacher(Protocol):
    """The interface that `training.teachers.pseudolabel` uses."""

    title: str  # name and licence: "MediaPipe face landmarker (Apache-2.0)"
    tasks: tuple[str, ...]  # that it labels

    def label(self, picture: NDArray[np.uint8], *, five: NDArray[np.float32] | None) -> FaceLabels | None:
        """The labels of the face in `picture` [H, W, 3] RGB; None without a face.

        `five` [5, 2] are the face's landmarks from an earlier teacher, None without any. A teacher that
        does not detect faces crops by them.
        """
        ...

    def close(self) -> None:
        """Release the teacher's resources."""
        ...


# Name -> module and class; a class is made with the path of its model.
TEACHERS: dict[str, tuple[str, str]] = {
    "mediapipe": ("training.teachers.mediapipe", "FaceLandmarker"),
    "face_api": ("training.teachers.expression", "ExpressionTeacher"),
}


def open_teacher(name: str, *, model: pathlib.Path) -> Teacher:
    """The teacher of a name, with its weights; ValueError for a wrong name or file, or a missing package."""
    others: dict[str, Callable[[pathlib.Path], Teacher]] = dict(plugins("qface.teachers"))
    if name not in TEACHERS and name not in others:
        known = ", ".join([*TEACHERS, *others])
        raise ValueError(f"there is no teacher {name!r}: choose from {known}")
    if not model.exists():
        raise ValueError(f"{model} does not exist: --model names the weights of the teacher {name}")
    try:
        if name not in TEACHERS:
            return others[name](model)
        module, class_name = TEACHERS[name]
        create: Callable[[pathlib.Path], Teacher] = getattr(importlib.import_module(module), class_name)
        return create(model)
    except ImportError as error:
        raise ValueError(
            f"the teacher {name} needs a package that is not installed ({error}): run it in its environment, "
            "which requirements/teachers.txt makes for mediapipe and requirements/train.txt for the others"
        ) from None
