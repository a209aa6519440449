"""The first step of every ensemble: a picture -> the engine's pixels and the map back to the photo."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from runtime.align import align_face
from runtime.decode import decode_image
from runtime.errors import InvalidImage
from runtime.serving.base import Answer, ServedModel, tensor


class _Preprocess(ServedModel):
    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads the side of the crop; Triton runs several instances, so OpenCV needs no threads."""
        super().initialize(args)
        self.size = int(self.parameters["input_size"])
        cv2.setNumThreads(1)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self.respond(request, self.answer) for request in requests]

    def answer(self, request: Any) -> Answer:
        """The answer to one request."""
        raise NotImplementedError


class FacePreprocess(_Preprocess):
    """An encoded image [B, n], box [B, 4] and landmarks [B, 5, 2] (NaN: none) -> pixels, crop_to_photo."""

    def answer(self, request: Any) -> Answer:
        """`pixels` [B, S, S, 3] uint8 RGB and `crop_to_photo` [B, 2, 3]."""
        faces = zip(*(tensor(request, name) for name in ("image", "box", "landmarks")), strict=True)
        aligned = [
            align_face(decode_image(image), box=box, landmarks=landmarks, size=self.size)
            for image, box, landmarks in faces
        ]
        return {
            "pixels": np.stack([pixels for pixels, _ in aligned]),
            "crop_to_photo": np.stack([back for _, back in aligned]),
        }


class CropPreprocess(_Preprocess):
    """An aligned crop [B, H, W, 3] as raw RGB, resized as a whole -> pixels, crop_to_photo."""

    def answer(self, request: Any) -> Answer:
        """`pixels` [B, S, S, 3] uint8 RGB and `crop_to_photo` [B, 2, 3], here back to the crop as sent."""
        crops = tensor(request, "crop")
        if 0 in crops.shape:
            raise InvalidImage(
                f"the crop has the shape {list(crops.shape[1:])}, so no pixels: send height x width x 3"
            )
        aligned = [align_face(crop, size=self.size) for crop in crops]
        return {
            "pixels": np.stack([pixels for pixels, _ in aligned]),
            "crop_to_photo": np.stack([back for _, back in aligned]),
        }
