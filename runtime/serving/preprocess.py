"""The first step of every ensemble: a picture -> the engine's pixels and the map back to the photo."""

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.contract import ALIGNED
from runtime.errors import InvalidImage, InvalidInput
from runtime.image.align import Affine
from runtime.image.crops import crop_of
from runtime.image.decode import MAX_PIXELS, decode_image
from runtime.serving.base import Answer, ServedModel, tensor


class _Preprocess(ServedModel, abc.ABC):
    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads the side and the kind of the crop."""
        super().initialize(args)
        self.size = int(self.parameters["input_size"])
        self.crop = crop_of(self.parameters.get("crop", ALIGNED))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self.respond(request, self.answer) for request in requests]

    @abc.abstractmethod
    def answer(self, request: Any) -> Answer:
        """The answer to one request."""


class FacePreprocess(_Preprocess):
    """An encoded image [B, n], box [B, 4] and landmarks [B, 5, 2] (NaN: none) -> pixels, crop_to_photo."""

    def answer(self, request: Any) -> Answer:
        """`pixels` [B, S, S, 3] uint8 RGB, `crop_to_photo` [B, 2, 3] and `photo_size` [B, 2]."""
        images, boxes, points = (tensor(request, name) for name in ("image", "box", "landmarks"))

        def cut(row: int) -> _Cut:
            image = decode_image(images[row])
            pixels, back = self.crop(image, box=boxes[row], landmarks=points[row], size=self.size)
            return pixels, back, image.shape[:2]

        return _row_by_row(cut, rows=len(images))


class CropPreprocess(_Preprocess):
    """An aligned crop [B, H, W, 3] as raw RGB, resized as a whole -> pixels, crop_to_photo."""

    def answer(self, request: Any) -> Answer:
        """`pixels` [B, S, S, 3] uint8 RGB, `crop_to_photo` [B, 2, 3] and `photo_size` [B, 2].

        The photo is here the crop as it was sent.
        """
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
        return _row_by_row(
            lambda row: (*self.crop(crops[row], size=self.size), (height, width)), rows=len(crops)
        )


# A crop's pixels, the map back to its photo, and the photo's height and width.
_Cut = tuple[NDArray[np.uint8], Affine, tuple[int, ...]]


def _row_by_row(cut: Callable[[int], _Cut], *, rows: int) -> Answer:
    """The answer made of what `cut` returns for each row; of several rows, an error names its row."""
    faces = []
    for row in range(rows):
        try:
            faces.append(cut(row))
        except InvalidInput as error:
            if rows == 1:
                raise
            raise type(error)(f"row {row} (of 0 to {rows - 1}): {error}") from None
    return {
        "pixels": np.stack([pixels for pixels, _, _ in faces]),
        "crop_to_photo": np.stack([back for _, back, _ in faces]),
        "photo_size": np.array([shape[::-1] for _, _, shape in faces], dtype=np.int32),
    }
