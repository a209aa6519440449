"""What a photo takes of the processor before the networks see it: `python -m deploy.benchmark.decoding`.

Core-milliseconds of this process, the networks' left out, for JPEGs made of the portrait: decoding all pixels
with OpenCV and as the server does; all that a face with its place takes; decoding, looks and crops of a photo
whose faces are searched for, decoded no finer than needed and, beside it, whole.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from build.detector import find_detector
from deploy.measuring.command import parser_of
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.processor_time import core_ms
from runtime.detect.detector_engine import load_detector
from runtime.detect.faces import Detections, find_faces
from runtime.image.align import align_face
from runtime.image.crops import decode_for_crops
from runtime.image.decode import decode_image
from runtime.image.photo import Photo

CROP = 112


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A JPEG: the portrait enlarged (`face` times) into the corner of a noisy picture of that size."""

    name: str
    width: int
    height: int
    face: float
    quality: int = 88
    noise: float = 3.0
    progressive: bool = False

    def encoded(self) -> bytes:
        """The file."""
        portrait = cv2.imread(str(PORTRAIT))
        large = cv2.resize(portrait, None, fx=self.face, fy=self.face, interpolation=cv2.INTER_CUBIC)
        picture = np.full((self.height, self.width, 3), 110, np.float32)
        shown = large[: self.height, : self.width]
        picture[: shown.shape[0], : shown.shape[1]] = shown
        picture += np.random.default_rng(0).normal(0, self.noise, picture.shape)
        options = [
            cv2.IMWRITE_JPEG_QUALITY,
            self.quality,
            cv2.IMWRITE_JPEG_PROGRESSIVE,
            int(self.progressive),
        ]
        return bytes(cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8), options)[1])


CASES = (
    Case(name="512 px", width=512, height=512, face=1.0, noise=0.0),
    Case(name="1080p", width=1920, height=1080, face=2.1),
    Case(name="12 MP", width=4000, height=3000, face=5.8),
    Case(name="12 MP, quality 95", width=4000, height=3000, face=5.8, quality=95, noise=5.0),
    Case(name="12 MP, small face", width=4000, height=3000, face=1.0),
    Case(name="12 MP, progressive", width=4000, height=3000, face=5.8, progressive=True),
)
Infer = Callable[[NDArray[np.uint8]], Mapping[str, NDArray[Any]]]


def replayed(infer: Infer) -> tuple[Infer, Callable[[], None]]:
    """A detector that gives the answers of its first run again, and what begins a run."""
    answers: list[Mapping[str, NDArray[Any]]] = []
    at = 0

    def again(canvases: NDArray[np.uint8]) -> Mapping[str, NDArray[Any]]:
        nonlocal at
        if at == len(answers):
            answers.append({name: values.copy() for name, values in infer(canvases).items()})
        at += 1
        return answers[at - 1]

    def begin() -> None:
        nonlocal at
        at = 0

    return again, begin


def steps(data: bytes, infer: Infer) -> dict[str, Callable[[], object]]:
    """What is measured of a file, by its column."""

    def whole() -> object:
        return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def searched(image: NDArray[np.uint8] | Photo, run: Infer) -> Detections:
        found = find_faces(image, run)
        for box, landmarks in zip(found.boxes, found.landmarks, strict=True):
            align_face(image, box=box, landmarks=landmarks, size=CROP)
        return found

    def photo(run: Infer, begin: Callable[[], None]) -> Detections:
        begin()
        reduced = Photo(data)
        decode_for_crops(reduced, size=CROP)
        return searched(reduced, run)

    def full(run: Infer, begin: Callable[[], None]) -> Detections:
        begin()
        return searched(decode_image(data), run)

    one, other = replayed(infer), replayed(infer)
    place = photo(*one).landmarks[0]
    return {
        "OpenCV, whole": whole,
        "decode_image": lambda: decode_image(data),
        "face with its place": lambda: align_face(Photo(data), landmarks=place, size=CROP),
        "photo": lambda: photo(*one),
        "photo, decoded whole": lambda: full(*other),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    rounds = parser_of("deploy.benchmark.decoding", __doc__, rounds=9).parse_args(argv).rounds
    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(limits=1, user_api="blas")
    detector = load_detector(find_detector(), threads=1)
    for number, case in enumerate(CASES):
        data = case.encoded()
        found = core_ms(steps(data, detector.infer), rounds=rounds)
        if not number:
            print(f"| core-ms | MB | {' | '.join(found)} |\n|---|{'---:|' * (len(found) + 1)}")
        print(f"| {case.name} | {len(data) / 1e6:.2f} | {' | '.join(f'{ms:.1f}' for ms in found.values())} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
