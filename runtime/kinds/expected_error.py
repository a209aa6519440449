"""How far an answer is expected to lie from the truth. Head: T_error FP32 [B, K], in the error's unit.

The expected absolute error of each of the K labels' numbers; of points the expected distance. It is the
answer's tensor T_error FP32 [B, K] too, of points in the photo's pixels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.contract import TaskEntry
from runtime.kinds.base import AnswerTensor, HeadKind, HeadTensor, PhotoGeometry


class ExpectedError(HeadKind):
    """The second head of a kind whose answers are measured in a unit."""

    full_precision_tolerance = 1e-3  # of the unit, in which errors count up to some tens

    def __init__(self, *, low_precision_tolerance: float) -> None:
        self.low_precision_tolerance = low_precision_tolerance

    def head(self, count: int) -> HeadTensor:
        return HeadTensor(datatype="FP32", dims=(count,))

    def answer_tensors(self, entry: TaskEntry) -> tuple[AnswerTensor, ...]:
        return (AnswerTensor(name=f"{entry.name}_error", datatype="FP32", dims=(len(entry.labels),)),)

    def postprocess(
        self, entry: TaskEntry, head: NDArray[Any], photo: PhotoGeometry
    ) -> dict[str, NDArray[Any]]:
        return {f"{entry.name}_error": head}

    def unit_text(self, entry: TaskEntry, *, in_units: bool = True) -> str:
        return "" if entry.error is None else f" {entry.error.unit}"


class ExpectedDistance(ExpectedError):
    """Of points: in the crop's pixels, answered in the photo's."""

    needs_crop_to_photo = True

    def postprocess(
        self, entry: TaskEntry, head: NDArray[Any], photo: PhotoGeometry
    ) -> dict[str, NDArray[Any]]:
        assert photo.maps is not None
        # A crop is cut out without shear: a length is the same times longer in every direction.
        scale = np.sqrt(np.abs(np.linalg.det(photo.maps[:, :, :2].astype(np.float64))))
        return {f"{entry.name}_error": (head * scale[:, None]).astype(np.float32)}
