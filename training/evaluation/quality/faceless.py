"""Photos, by what their finds are worth: a photo without a face should have none that is good enough."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.detect.detector_engine import load_detector
from runtime.detect.detector_file import find_detector
from runtime.detect.faces import Infer, find_faces
from runtime.errors import InvalidInput
from runtime.image.align import align_face
from runtime.image.decode import decode_image
from training.evaluation.predictors import Predictor


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotoQualities:
    """The qualities of what was found in some photos by the usual search."""

    names: tuple[str, ...]  # [P], those that could be read
    found: tuple[NDArray[np.float64], ...]  # of each photo's finds

    def answered(self, minimum: float) -> NDArray[np.bool_]:
        """[P]: which photos are answered with a face."""
        return np.array([bool((qualities >= minimum).any()) for qualities in self.found], bool)

    def only(self, names: Sequence[str]) -> "PhotoQualities":
        """Those of these photos."""
        chosen = [i for i, name in enumerate(self.names) if name in set(names)]
        return PhotoQualities(
            names=tuple(self.names[i] for i in chosen), found=tuple(self.found[i] for i in chosen)
        )


def photo_qualities(folder: Path, names: Sequence[str], network: Predictor, *, task: str) -> PhotoQualities:
    """What the detector finds in these photos, by the first label of `task`."""
    detector = load_detector(find_detector(), precision="fp32", threads=1)
    read, found = [], []
    for name, crops in _found_crops(folder, names, infer=detector.infer, size=network.input_size):
        read.append(name)
        qualities = network.predict(crops)[task][:, 0] if len(crops) else np.zeros(0)
        found.append(np.asarray(qualities, np.float64))
    return PhotoQualities(names=tuple(read), found=tuple(found))


def _found_crops(
    folder: Path, names: Sequence[str], *, infer: Infer, size: int
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The name of each photo that can be read, and the crops [n, S, S, 3] of what was found in it."""
    for name in names:
        try:
            photo = decode_image((folder / name).read_bytes())
        except (OSError, InvalidInput):
            continue
        crops = []
        places = find_faces(photo, infer)
        for box, landmarks in zip(places.boxes, places.landmarks, strict=True):
            try:
                crops.append(align_face(photo, box=box, landmarks=landmarks, size=size)[0])
            except InvalidInput:
                continue
        yield name, np.stack(crops) if crops else np.zeros((0, size, size, 3), np.uint8)
