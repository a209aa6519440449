"""Networks of others that label faces which nobody has labelled (training.teachers.pseudolabel).

A teacher is a class with the interface of `Teacher`; `TEACHERS` says in which module each lives, so that
one teacher's packages are needed only where that teacher is used. Its own words for labels stay in its
module.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaceLabels:
    """What a teacher says of the face in one picture.

    `values` are arrays as a teacher file has them (training.data.teacher_labels), without the first axis;
    coordinates are the picture's pixels, integers at pixel centres.
    """

    five: NDArray[np.float32]  # [5, 2]: eyes, nose tip, mouth corners; NaN where not known
    values: Mapping[str, NDArray[np.float32]]  # by task; NaN where not known
    confidence: Mapping[str, float]  # by task, in [0, 1]


class Teacher(Protocol):
    """What `training.teachers.pseudolabel` wants of a teacher."""

    title: str  # who it is, with its licence: "MediaPipe face landmarker (Apache-2.0)"
    tasks: tuple[str, ...]  # what it labels

    def label(self, picture: NDArray[np.uint8], *, five: NDArray[np.float32] | None) -> FaceLabels | None:
        """The labels of the face in `picture` [H, W, 3] RGB; None where it finds none.

        `five` [5, 2] is where a teacher named before has seen the face, None where none has: a teacher
        that finds no faces by itself looks there.
        """
        ...

    def close(self) -> None:
        """Let go of what the teacher holds."""
        ...


# Name -> module and class; a class is made with the path of its model.
TEACHERS: dict[str, tuple[str, str]] = {
    "mediapipe": ("training.teachers.mediapipe", "FaceLandmarker"),
    "face_api": ("training.teachers.expression", "ExpressionTeacher"),
}


def open_teacher(name: str, *, model: pathlib.Path) -> Teacher:
    """The teacher of a name, with its weights; ValueError for a wrong name or file, or a missing package."""
    if name not in TEACHERS:
        raise ValueError(f"there is no teacher {name!r}: choose from {', '.join(TEACHERS)}")
    if not model.exists():
        raise ValueError(f"{model} does not exist: --model names the weights of the teacher {name}")
    module, class_name = TEACHERS[name]
    try:
        made: Callable[[pathlib.Path], Teacher] = getattr(importlib.import_module(module), class_name)
        return made(model)
    except ImportError as error:
        raise ValueError(
            f"the teacher {name} needs a package that is not here ({error}): run it in its environment, "
            "which requirements/teachers.txt makes for mediapipe and requirements/train.txt for the others"
        ) from None
