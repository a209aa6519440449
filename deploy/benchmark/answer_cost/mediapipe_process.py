"""MediaPipe's face landmarker (Apache-2.0): 478 points, 52 blendshapes and a pose of one face, in process.

    .venv-peers/bin/python -m deploy.benchmark.answer_cost.mediapipe_process face_landmarker.task

It is a worker (`workers.answer_requests`) and imports nothing else of ours.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision

from deploy.measuring.workers import answer_requests


class Landmarker:
    """The method of the worker."""

    def __init__(self, model: Path) -> None:
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(model)),
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        self._landmarker = vision.FaceLandmarker.create_from_options(options)

    def photo(self, *, file: str, seconds: float) -> Mapping[str, Any]:
        """A Sample's fields and the faces of a photo, from a JPEG's bytes to all answers."""
        encoded = np.fromfile(file, dtype=np.uint8)
        faces = self._answer(encoded)
        photos, before, began = 0, time.process_time(), time.monotonic()
        while not photos or time.monotonic() - began < seconds:
            self._answer(encoded)
            photos += 1
        return {
            "answers": photos,
            "faces": faces,
            "seconds": time.monotonic() - began,
            "core_seconds": {"all": time.process_time() - before},
        }

    def _answer(self, encoded: Any) -> int:
        pixels = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        return len(self._landmarker.detect(image).face_landmarks)


if __name__ == "__main__":
    landmarker = Landmarker(Path(sys.argv[1]))
    answer_requests({"photo": landmarker.photo})
