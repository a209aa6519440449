"""The first step of every ensemble: a picture -> the engine's pixels and the map back to the photo."""

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.align import Affine, align_face
from runtime.decode import MAX_PIXELS, decode_image
from runtime.errors import InvalidImage, InvalidInput
from runtime.serving.base import Answer, ServedModel, tensor


class _Preprocess(ServedModel, abc.ABC):
    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads the side of the crop."""
        super().initialize(args)
        self.size = int(self.parameters["input_size"])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self.respond(request, self.answer) for request in requests]

    @abc.abstractmethod
    def answer(self, request: Any) -> Answer:
        """The answer to one request."""


class FacePreprocess(_Preprocess):
    """An encoded image [B, n], box [B, 4] and landmarks [B, 5, 2] (NaN: none) -> pixels, crop_to_photo."""

    def answer(self, request: Any) -> Answer:
        """`pixels` [B, S, S, 3] uint8 RGB and `crop_to_photo` [B, 2, 3]."""
        images, boxes, points = (tensor(request, name) for name in ("image", "box", "landmarks"))

        def align(row: int) -> tuple[NDArray[np.uint8], Affine]:
            image = decode_image(images[row])
            return align_face(image, box=boxes[row], landmarks=points[row], size=self.size)

        return _row_by_row(align, rows=len(images))


class CropPreprocess(_Preprocess):
    """An aligned crop [B, H, W, 3] as raw RGB, resized as a whole -> pixels, crop_to_photo."""

    def answer(self, request: Any) -> Answer:
        """`pixels` [B, S, S, 3] uint8 RGB and `crop_to_photo` [B, 2, 3], here back to the crop as sent."""
        crops = tensor(request, "crop")
        if 0 in crops.shape:
            raise InvalidImage(
                f"the crop has the shape {list(crops.shape[1:])}, so no pixels: send height x width x 3"
            )
        height, width = crops.shape[1:3]
        if height * width > MAX_PIXELS:
            raise InvalidImage(
                f"the crop is {width:,} x {height:,} pixels, more than the {MAX_PIXELS:,} accepted: "
                "send a smaller one"
            )
        return _row_by_row(lambda row: align_face(crops[row], size=self.size), rows=len(crops))


def _row_by_row(align: Callable[[int], tuple[NDArray[np.uint8], Affine]], *, rows: int) -> Answer:
    """The answer made of what `align` gives for each row; of several, what is refused says its row."""
    aligned = []
    for row in range(rows):
        try:
            aligned.append(align(row))
        except InvalidInput as error:
            if rows == 1:
                raise
            raise type(error)(f"row {row} (of 0 to {rows - 1}): {error}") from None
    return {
        "pixels": np.stack([pixels for pixels, _ in aligned]),
        "crop_to_photo": np.stack([back for _, back in aligned]),
    }
