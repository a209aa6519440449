"""face-api.js's expression network (MIT) as a teacher: seven expressions of known faces."""

import pathlib

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.errors import InvalidInput
from runtime.image.align import align_face
from training.tasks import CATALOGUE
from training.teachers import FaceLabels
from training.teachers.face_api import EXPRESSIONS, FaceExpression

# It was trained on faces cut closer than our crops: on FER2013's validation faces its accuracy is 59.6 %
# in the middle three quarters of the crop, 55.4 % in the whole crop and 52.8 % in 0.6 of it.
_CENTRAL_PART = 0.75
_SIDE = FaceExpression.SIDE


class ExpressionTeacher:
    """The teacher, from the folder with face_expression_model.*. ValueError for a wrong one."""

    title = "face-api.js expressions (MIT)"
    tasks = ("expression",)

    def __init__(self, model: pathlib.Path) -> None:
        self._network = FaceExpression.load(model)
        self._order = [EXPRESSIONS.index(label) for label in CATALOGUE["expression"].labels]

    def label(self, picture: NDArray[np.uint8], *, five: NDArray[np.float32] | None) -> FaceLabels | None:
        """See `Teacher.label`; None without landmarks of an earlier teacher.

        The confidence is the largest probability.
        """
        if five is None:
            return None
        try:
            crop, _ = align_face(picture, landmarks=five, size=round(_SIDE / _CENTRAL_PART))
        except InvalidInput:
            return None
        margin = (crop.shape[0] - _SIDE) // 2
        inner = np.ascontiguousarray(crop[margin : margin + _SIDE, margin : margin + _SIDE])
        probabilities = self._network(torch.from_numpy(inner[None]))[0].numpy()[self._order]
        return FaceLabels(
            five=np.full((5, 2), np.nan, np.float32),
            values={"expression": probabilities.astype(np.float32)},
            confidence={"expression": float(probabilities.max())},
        )

    def close(self) -> None:
        """See `Teacher.close`."""
