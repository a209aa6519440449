"""Finding the faces of a photo with face_detector, which shares its batches between photos."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.detect.blazeface import LOGITS, REGRESSORS, TILES
from runtime.detect.faces import Detections, merge_faces, usable_candidates
from runtime.detect.search import Search, read_search
from runtime.detect.tiles import MAX_TILES, tile_photo
from runtime.image.decode import decode_image
from runtime.parameters import REQUEST_PARAMETERS, parse
from runtime.serving.base import Answer, ServedModel, read_in_batches, tensor


class FaceSearch(ServedModel):
    """A model that finds the faces of whole photos, as each request's parameters want it."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads what parameters requests may bring."""
        super().initialize(args)
        self.request_parameters = parse(self.parameters[REQUEST_PARAMETERS])

    def search(self, request: Any) -> Search:
        """What the request wants found; InvalidInput for parameters that are not taken."""
        return read_search(request.parameters(), self.request_parameters)


class FaceDetect(FaceSearch):
    """An encoded image [n] -> boxes, scores and landmarks of its faces, and its size."""

    async def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return await asyncio.gather(*(self.respond_async(request, self.answer) for request in requests))

    async def answer(self, request: Any) -> Answer:
        """What `detection_tensors` gives."""
        search = self.search(request)
        image = decode_image(tensor(request, "image"))
        return detection_tensors(await find_faces(image, search), image)


async def find_faces(image: NDArray[np.uint8], search: Search) -> Detections:
    """The faces of a photo [H, W, 3] uint8 RGB; no face is an ordinary answer."""
    tiles = tile_photo(image, min_face=search.min_face)
    candidates = await read_in_batches(
        "face_detector",
        TILES,
        tiles.pixels,
        (REGRESSORS, LOGITS),
        max_batch=MAX_TILES,
        read=lambda first, raw: usable_candidates(tiles, raw, search=search, first=first),
    )
    return merge_faces(tiles, candidates, search=search)


def detection_tensors(found: Detections, image: NDArray[np.uint8]) -> Answer:
    """What is answered about the faces themselves.

    `boxes` [N, 4], `scores` [N], `landmarks` [N, 5, 2]; `photo_size` [2], width and height after EXIF
    rotation; `faces_found` [1] and `smallest_face` [1] as in `Detections`.
    """
    height, width = image.shape[:2]
    return {
        "boxes": found.boxes,
        "scores": found.scores,
        "landmarks": found.landmarks,
        "photo_size": np.array([width, height], dtype=np.int32),
        "faces_found": np.array([found.faces_found], dtype=np.int32),
        "smallest_face": np.array([found.smallest_face], dtype=np.float32),
    }
