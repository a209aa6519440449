"""face_warp as it runs on a CPU: what the GPU's decoding pipeline does, by OpenCV.

Nothing of a repository calls it where there is no GPU; with it the repository loads there too, and what calls
the pipeline can be tried there.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.answering.batches import Answer
from runtime.errors import InvalidImage
from runtime.image.stored_crop import WINDOW_ROWS
from runtime.serving.base import ServedModel, tensor


class FaceWarp(ServedModel):
    """Encoded pictures [B, n], window [B, 5, 2] and matrix [B, 2, 3] (see `StoredCrop`) -> pixels."""

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self.respond(request, self.answer) for request in requests]

    def answer(self, request: Any) -> Answer:
        """`pixels` [B, S, S, 3] uint8 RGB."""
        images, windows, matrices = (tensor(request, name) for name in ("image", "window", "matrix"))
        return {"pixels": np.stack([warped(*row) for row in zip(images, windows, matrices, strict=True)])}


def warped(
    encoded: NDArray[np.uint8], window: NDArray[np.int32], matrix: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """One crop [S, S, 3] of an encoded picture [n]; InvalidImage where it can't be decoded."""
    stored = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if stored is None:
        raise InvalidImage("The picture can't be decoded: it is damaged; save it again.")
    (top, left), (rows, columns), _, reduced, (size, _) = window.reshape(WINDOW_ROWS, 2).tolist()
    part: Any = stored[top : top + rows, left : left + columns, ::-1]
    if part.shape[:2] != tuple(reduced):
        part = cv2.resize(part, reduced[::-1], interpolation=cv2.INTER_AREA)
    # From pixels' edges to OpenCV's pixel centres.
    centred = matrix.astype(np.float64)
    centred[:, 2] += 0.5 * centred[:, :2].sum(axis=1) - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(np.ascontiguousarray(part), centred, (size, size), flags=flags), dtype=np.uint8
    )
