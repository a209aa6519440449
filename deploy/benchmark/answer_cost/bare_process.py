"""The engine alone, and all steps from a photo to its answers in one process, without a server.

    python -m deploy.benchmark.answer_cost.bare_process REPOSITORY

It is a worker (`workers.answer_requests`).
"""

import functools
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import threadpoolctl

from deploy.measuring.model_parameters import model_parameters
from deploy.measuring.workers import answer_requests
from runtime.contract import Contract
from runtime.detect.detector_engine import DetectorEngine, load_detector
from runtime.detect.faces import find_faces
from runtime.engines import Engine, load_engine
from runtime.heads import heads_of
from runtime.image.crops import crop_of, crops_of, decode_for_crops
from runtime.image.photo import Photo
from runtime.postprocess import Postprocessor


class Bare:
    """The methods of the worker: what a repository serves, loaded into this process."""

    def __init__(self, repository: Path) -> None:
        # As in the server.
        cv2.setNumThreads(1)
        threadpoolctl.threadpool_limits(limits=1, user_api="blas")
        self._models = repository / "models"
        self._engine_parameters = model_parameters(self._models / "face_engine")
        self._contract = Contract.parse(self._engine_parameters["contract"])
        self._postprocessor = Postprocessor(self._contract)
        self._engine = functools.cache(self._load_engine)

    def engine(
        self, *, threads: int, streams: int, batch: int, crop: str, seconds: float
    ) -> Mapping[str, Any]:
        """A Sample's fields: faces of the engine alone with so many threads and streams."""
        engine = self._engine(threads, streams)
        pixels = np.repeat(np.load(crop)[None], batch, axis=0)
        engine.infer({"pixels": pixels})
        faces, before, began = 0, time.process_time(), time.monotonic()
        while time.monotonic() - began < seconds:
            engine.infer({"pixels": pixels})
            faces += batch
        return {
            "answers": faces,
            "seconds": time.monotonic() - began,
            "core_seconds": {"engine": time.process_time() - before},
        }

    def photo(self, *, file: str, seconds: float) -> Mapping[str, Any]:
        """A Sample's fields, by step, and the faces of a photo; one thread, all answers."""
        encoded, steps = Path(file).read_bytes(), Steps()
        faces = self._answer(encoded, Steps())
        photos, began = 0, time.monotonic()
        while not photos or time.monotonic() - began < seconds:
            self._answer(encoded, steps)
            photos += 1
        return {
            "answers": photos,
            "faces": faces,
            "seconds": time.monotonic() - began,
            "core_seconds": steps.seconds,
        }

    def _answer(self, encoded: bytes, steps: "Steps") -> int:
        steps.begin()
        photo, size = Photo(encoded), self._contract.input_size
        decode_for_crops(photo, size=size)
        steps.end("decode")
        found = find_faces(photo, self._detector.infer)
        steps.end("detect")
        crop = crop_of(self._contract.crop)
        pixels, maps = crops_of(photo, boxes=found.boxes, landmarks=found.landmarks, crop=crop, size=size)
        steps.end("crop")
        if len(found):
            heads = self._engine(1, 1).infer({"pixels": pixels})
            steps.end("engine")
            self._postprocessor.answers(
                {name: heads[name] for name in heads_of(self._contract)},
                maps,
                photo_size=np.repeat([[photo.width, photo.height]], len(found), axis=0),
            )
            steps.end("postprocess")
        return len(found)

    @functools.cached_property
    def _detector(self) -> DetectorEngine:
        parameters = model_parameters(self._models / "photo_analysis")
        return load_detector(
            self._models / "photo_analysis" / "1" / parameters["detector"],
            precision=parameters["detector_precision"],
            threads=1,
        )

    def _load_engine(self, threads: int, streams: int) -> Engine:
        chosen = {"threads": str(threads), "streams": str(streams)}
        return load_engine(self._models / "face_engine" / "1", self._engine_parameters | chosen)


class Steps:
    """Processor seconds of this process by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = 0.0

    def begin(self) -> None:
        self._last = time.process_time()

    def end(self, step: str) -> None:
        """Counts what was taken since the last step ended."""
        now = time.process_time()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now


if __name__ == "__main__":
    bare = Bare(Path(sys.argv[1]))
    answer_requests({"engine": bare.engine, "photo": bare.photo})
