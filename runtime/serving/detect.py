"""Finding the faces of a photo, by a detector in the model's own process: to call another costs as much."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.detect.detector_engine import load_detector
from runtime.detect.faces import Detections, find_faces
from runtime.detect.search import Search, read_search
from runtime.image.photo import Photo
from runtime.parameters import REQUEST_PARAMETERS, parse
from runtime.serving.base import Answer, ServedModel, tensor
from runtime.serving.step_spans import DETECT


class FaceSearch(ServedModel):
    """A model that finds the faces of whole photos, as each request's parameters want it."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads what parameters requests may bring, and loads the detector."""
        super().initialize(args)
        self.request_parameters = parse(self.parameters[REQUEST_PARAMETERS])
        self.detector = load_detector(
            self.directory / self.parameters["detector"],
            precision=self.parameters["detector_precision"],
            threads=int(self.parameters["detector_threads"]),
        )

    def search(self, request: Any) -> Search:
        """What the request wants found; InvalidInput for parameters that are not taken."""
        return read_search(request.parameters(), self.request_parameters)


class FaceDetect(FaceSearch):
    """An encoded image [n] -> boxes, scores and landmarks of its faces, and its size."""

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self.respond(request, self.answer) for request in requests]

    def answer(self, request: Any) -> Answer:
        """What `detection_tensors` gives."""
        search = self.search(request)
        photo = Photo(tensor(request, "image"))
        with self.spans.phase(DETECT):  # which decodes what it looks at
            found = find_faces(photo, self.detector.infer, search=search)
        return detection_tensors(found, photo)


def detection_tensors(found: Detections, photo: Photo) -> Answer:
    """What is answered about the faces themselves.

    `boxes` [N, 4], `scores` [N], `landmarks` [N, 5, 2]; `photo_size` [2], width and height after EXIF
    rotation; `faces_found` [1] and `smallest_face` [1] as in `Detections`.
    """
    return {
        "boxes": found.boxes,
        "scores": found.scores,
        "landmarks": found.landmarks,
        "photo_size": np.array([photo.width, photo.height], dtype=np.int32),
        "faces_found": np.array([found.faces_found], dtype=np.int32),
        "smallest_face": np.array([found.smallest_face], dtype=np.float32),
    }
