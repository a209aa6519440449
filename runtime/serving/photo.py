"""A whole photo in, every face in it out, with the answers about each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.detect.faces import find_faces
from runtime.image.crops import crop_of, crops_of, decode_for_crops
from runtime.image.photo import Photo
from runtime.postprocess import CONTRACT_TENSOR, Postprocessor, no_faces
from runtime.serving.base import Answer, infer_in_batches, tensor
from runtime.serving.detect import FaceSearch, detection_tensors
from runtime.serving.step_spans import CROP, DECODE, DETECT, ENGINE, POSTPROCESS


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

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self.respond(request, self.answer) for request in requests]

    def answer(self, request: Any) -> Answer:
        """What `detection_tensors` gives, `contract`, and the requested answers [N, ...]."""
        search = self.search(request)
        with self.spans.phase(DECODE):
            photo = Photo(tensor(request, "image"))
            decode_for_crops(photo, size=self.contract.input_size)
        with self.spans.phase(DETECT):
            found = find_faces(photo, self.detector.infer, search=search)
        requested = request.requested_output_names()
        needed = self.postprocessor.heads_for(requested)
        answers = detection_tensors(found, photo)
        answers[CONTRACT_TENSOR] = np.array([self.contract.hash.encode()], dtype=np.object_)
        if not needed:
            return answers
        if not len(found.boxes):
            return answers | no_faces(self.contract, needed)
        with self.spans.phase(CROP):
            pixels, maps = crops_of(
                photo,
                boxes=found.boxes,
                landmarks=found.landmarks,
                crop=self.crop,
                size=self.contract.input_size,
            )
        with self.spans.phase(ENGINE):
            heads = infer_in_batches(
                self.engine,
                "pixels",
                pixels,
                needed,
                max_batch=self.max_batch,
                parameters=self.spans.parameters(),
            )
        with self.spans.phase(POSTPROCESS):
            sizes = np.repeat(answers["photo_size"][None], len(pixels), axis=0)
            return answers | self.postprocessor.answers(heads, maps, photo_size=sizes, requested=requested)
