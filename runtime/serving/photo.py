"""A whole photo in, every face in it out, with the answers about each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.answering.batches import Answer
from runtime.answering.photos import PhotoAnswers
from runtime.serving.base import infer_in_batches, tensor
from runtime.serving.detect import FaceSearch


class PhotoAnalysis(FaceSearch):
    """One decode a photo; its crops go to face_engine, in batches shared with other photos."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Parses the contract."""
        super().initialize(args)
        self.engine = self.parameters.get("engine", "face_engine")
        self.max_batch = int(self.parameters["max_batch"])
        self.answers = PhotoAnswers(
            self.parse_contract(),
            self.detector.infer,
            self.request_parameters,
            self.heads,
            phase=self.spans.phase,
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self.respond(request, self.answer) for request in requests]

    def answer(self, request: Any) -> Answer:
        """What `PhotoAnswers.answer` gives."""
        return self.answers.answer(
            tensor(request, "image"), sent=request.parameters(), requested=request.requested_output_names()
        )

    def heads(self, pixels: NDArray[np.uint8], names: Sequence[str]) -> Answer:
        """These heads [N, ...] of crops, by the engine's model."""
        return infer_in_batches(
            self.engine,
            "pixels",
            pixels,
            names,
            max_batch=self.max_batch,
            parameters=self.spans.parameters(),
        )
