"""A whole photo in, every face in it out, with the answers about each."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.detect.faces import Detections, find_faces
from runtime.errors import InvalidLandmarks
from runtime.image.crops import Crop, crop_of
from runtime.image.photo import Photo
from runtime.postprocess import CONTRACT_TENSOR, Postprocessor, no_faces
from runtime.serving.base import Answer, infer_in_batches, tensor
from runtime.serving.detect import FaceSearch, detection_tensors

# A photo is decoded at once with so many crops' sides along its longer side, if it has them: faces from a
# ninth of that side on, of 12 megapixels from a thirteenth on, need no more.
_CROPS = 12


class PhotoAnalysis(FaceSearch):
    """One decode a photo; its crops go to face_engine, in batches shared with other photos."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Parses the contract."""
        super().initialize(args)
        self.contract = self.parse_contract()
        self.postprocessor = Postprocessor(self.contract)
        self.crop = crop_of(self.contract.crop)
        self.engine = self.parameters.get("engine", "face_engine")
        self.max_batch = int(self.parameters["max_batch"])
        # For `async def execute` the backend would make a loop, and its threads, for each request.
        self.loop = asyncio.new_event_loop()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""

        async def answers() -> list[Any]:
            return await asyncio.gather(*(self.respond_async(request, self.answer) for request in requests))

        return self.loop.run_until_complete(answers())

    async def answer(self, request: Any) -> Answer:
        """What `detection_tensors` gives, `contract`, and the requested answers [N, ...]."""
        search = self.search(request)
        photo = Photo(tensor(request, "image"))
        # What a search needs, and most crops too: each further decoding costs as much.
        photo.reduced(longer=_CROPS * self.contract.input_size)
        found = find_faces(photo, self.detector.infer, search=search)
        requested = request.requested_output_names()
        needed = self.postprocessor.heads_for(requested)
        answers = detection_tensors(found, photo)
        answers[CONTRACT_TENSOR] = np.array([self.contract.hash.encode()], dtype=np.object_)
        if not needed:
            return answers
        if not len(found.boxes):
            return answers | no_faces(self.contract, needed)
        pixels, maps = _crops(photo, found, crop=self.crop, size=self.contract.input_size)
        heads = await infer_in_batches(self.engine, "pixels", pixels, needed, max_batch=self.max_batch)
        sizes = np.repeat(answers["photo_size"][None], len(pixels), axis=0)
        return answers | self.postprocessor.answers(heads, maps, photo_size=sizes, requested=requested)


def _crops(
    photo: Photo, found: Detections, *, crop: Crop, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The crops [N, size, size, 3] of the faces found, and the maps [N, 2, 3] back to the photo."""
    pixels = np.empty((len(found), size, size, 3), dtype=np.uint8)
    maps = np.empty((len(found), 2, 3), dtype=np.float32)
    # The smallest face first: what is decoded for it is fine enough for the others.
    for face in np.argsort((found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1)):
        box, landmarks = found.boxes[face], found.landmarks[face]
        try:
            pixels[face], maps[face] = crop(photo, box=box, landmarks=landmarks, size=size)
        except InvalidLandmarks:  # a tiny face whose points fall together: its box still shows where it is
            pixels[face], maps[face] = crop(photo, box=box, size=size)
    return pixels, maps
