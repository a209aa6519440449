"""What is measured: a search for faces, as the server does it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.detect.detector_engine import load_detector
from runtime.detect.detector_file import find_detector
from runtime.detect.faces import Detections, find_faces
from runtime.detect.search import MIN_SCORE, Search

_CANVAS = 192
# A photo uint8 [H, W, 3] -> its faces.
Find = Callable[[NDArray[np.uint8]], Detections]


@dataclasses.dataclass(kw_only=True)
class Finder:
    """The search of face_detect in this process, on so many threads.

    canvases: how much the network was shown until now, in canvases of 192 x 192 pixels.
    """

    precision: str = "fp32"
    threads: int = 1
    min_score: float = MIN_SCORE
    canvases: float = 0.0

    def __post_init__(self) -> None:
        self._engine = load_detector(find_detector(), precision=self.precision, threads=self.threads)

    @property
    def arithmetic(self) -> str:
        """What the network really computes in: fp32's where the processor lacks what was asked for."""
        return self._engine.hint

    def __call__(self, photo: NDArray[np.uint8]) -> Detections:
        """The faces of a photo uint8 [H, W, 3]."""
        return find_faces(photo, self._infer, search=Search(min_score=self.min_score))

    def _infer(self, canvases: NDArray[np.uint8]) -> Mapping[str, NDArray[Any]]:
        self.canvases += canvases.size / (3 * _CANVAS**2)
        return self._engine.infer(canvases)
