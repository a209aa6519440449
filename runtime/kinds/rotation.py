"""A rotation. Head: rotation matrices FP32 [B, 3, 3] in the crop's frame (`runtime.pose`).

Answer of a task T: T_angles FP32 [B, 3], yaw, pitch and roll in degrees in the photo.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.contract import TaskEntry
from runtime.image.align import in_plane_degrees
from runtime.kinds.base import AnswerTensor, HeadTensor, Kind, PhotoGeometry
from runtime.kinds.expected_error import ExpectedError
from runtime.pose import angles_from_rotation, rotate_in_plane


class Rotation(Kind):
    name = "rotation"
    needs_crop_to_photo = True
    low_precision_tolerance = 0.5  # degrees
    error = ExpectedError(low_precision_tolerance=0.5)

    def head(self, count: int) -> HeadTensor:
        return HeadTensor(datatype="FP32", dims=(3, 3))

    def answer_tensors(self, entry: TaskEntry) -> tuple[AnswerTensor, ...]:
        return (AnswerTensor(name=f"{entry.name}_angles", datatype="FP32", dims=(3,)),)

    def postprocess(
        self, entry: TaskEntry, head: NDArray[Any], photo: PhotoGeometry
    ) -> dict[str, NDArray[Any]]:
        assert photo.maps is not None
        in_photo = rotate_in_plane(head, in_plane_degrees(photo.maps))
        return {f"{entry.name}_angles": angles_from_rotation(in_photo).astype(np.float32)}

    def difference(self, expected: NDArray[Any], answered: NDArray[Any], *, in_units: bool) -> float:
        """In units: the angle between two rotations in degrees. In fp32 it would drown in their rounding."""
        by_entry = super().difference(expected, answered, in_units=in_units)
        if not in_units or not np.isfinite(by_entry):
            return by_entry
        apart = np.linalg.norm(expected.astype(np.float64) - answered, axis=(-2, -1))
        # Two rotations an angle a apart differ by 2 sqrt(2) sin(a / 2) in Frobenius' norm.
        angles = 2 * np.arcsin(np.clip(apart / (2 * np.sqrt(2)), 0, 1))
        return float(np.degrees(angles.max(initial=0.0)))

    def unit_text(self, entry: TaskEntry, *, in_units: bool = True) -> str:
        return "°" if in_units else ""


KIND = Rotation()
