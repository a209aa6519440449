"""K points. Head: FP32 [B, K, 2], x and y in the crop's pixels.

Answer of a task T: T_points FP32 [B, K, 2], x and y in the photo's pixels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.contract import TaskEntry
from runtime.kinds.base import AnswerTensor, HeadTensor, Kind, PhotoGeometry
from runtime.kinds.expected_error import ExpectedDistance


class Points(Kind):
    name = "points"
    needs_crop_to_photo = True
    full_precision_tolerance = 1e-3  # pixels, which count up to the crop's side
    low_precision_tolerance = 0.5  # pixels
    error = ExpectedDistance(low_precision_tolerance=0.5)

    def head(self, count: int) -> HeadTensor:
        return HeadTensor(datatype="FP32", dims=(count, 2))

    def answer_tensors(self, entry: TaskEntry) -> tuple[AnswerTensor, ...]:
        return (AnswerTensor(name=f"{entry.name}_points", datatype="FP32", dims=(len(entry.labels), 2)),)

    def postprocess(
        self, entry: TaskEntry, head: NDArray[Any], photo: PhotoGeometry
    ) -> dict[str, NDArray[Any]]:
        assert photo.maps is not None
        linear, shift = photo.maps[:, :, :2].astype(np.float64), photo.maps[:, None, :, 2]
        moved = head.astype(np.float64) @ linear.swapaxes(1, 2) + shift
        return {f"{entry.name}_points": moved.astype(np.float32)}


KIND = Points()
