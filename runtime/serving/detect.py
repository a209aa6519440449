"""Finding the faces of a photo with face_detector, which shares its batches between photos."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.detect.blazeface import LOGITS, REGRESSORS, TILES
from runtime.detect.faces import Detections, decode_faces
from runtime.detect.tiles import MAX_TILES, tile_photo
from runtime.image.decode import decode_image
from runtime.serving.base import Answer, ServedModel, infer_in_batches, tensor


class FaceDetect(ServedModel):
    """An encoded image [n] -> boxes, scores and landmarks of its faces, and its size."""

    async def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return await asyncio.gather(*(self.respond_async(request, self.answer) for request in requests))

    async def answer(self, request: Any) -> Answer:
        """`boxes` [N, 4], `scores` [N], `landmarks` [N, 5, 2] and `photo_size` [2]."""
        image = decode_image(tensor(request, "image"))
        return detection_tensors(await find_faces(image), image)


async def find_faces(image: NDArray[np.uint8]) -> Detections:
    """The faces of a photo [H, W, 3] uint8 RGB; no face is an ordinary answer."""
    tiles = tile_photo(image)
    raw = await infer_in_batches(
        "face_detector", TILES, tiles.pixels, (REGRESSORS, LOGITS), max_batch=MAX_TILES
    )
    return decode_faces(tiles, raw)


def detection_tensors(found: Detections, image: NDArray[np.uint8]) -> Answer:
    """What is answered about the faces themselves; `photo_size` is width, height after EXIF rotation."""
    height, width = image.shape[:2]
    return {
        "boxes": found.boxes,
        "scores": found.scores,
        "landmarks": found.landmarks,
        "photo_size": np.array([width, height], dtype=np.int32),
    }
