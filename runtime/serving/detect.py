"""Finding the faces of a photo, by a detector in the model's own process: to call another costs as much."""

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.answering.batches import Answer
from runtime.answering.photos import PhotoDetections
from runtime.detect.detector_engine import load_detector
from runtime.parameters import REQUEST_PARAMETERS, parse
from runtime.serving.base import ServedModel, tensor


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


class FaceDetect(FaceSearch):
    """An encoded image [n] -> boxes, scores and landmarks of its faces, and its size."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Prepares the search."""
        super().initialize(args)
        self.detections = PhotoDetections(
            self.detector.infer, self.request_parameters, phase=self.spans.phase
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self.respond(request, self.answer) for request in requests]

    def answer(self, request: Any) -> Answer:
        """What `PhotoDetections.answer` gives."""
        return self.detections.answer(tensor(request, "image"), sent=request.parameters())
