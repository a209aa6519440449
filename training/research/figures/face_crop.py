"""The face of a photo, cropped as a network takes it."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from runtime.detect.detector_engine import DetectorEngine


def face_crop(path: Path, *, size: int, aligned: bool) -> NDArray[np.uint8]:
    """The crop [size, size, 3] of the largest face in a photo; of a picture that is `aligned`, all of it.

    ValueError for a file that is no picture, and for a photo without a face.
    """
    from runtime.detect.faces import find_faces
    from runtime.errors import InvalidInput
    from runtime.image.align import align_face
    from runtime.image.decode import decode_image

    try:
        photo = decode_image(path.read_bytes())
        if aligned:
            return align_face(photo, size=size)[0]
        found = find_faces(photo, _detector().infer)
        if not len(found.boxes):
            raise ValueError(f"there is no face in {path}: give a photo of one, or --aligned for a crop")
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        largest = int(sides.prod(axis=1).argmax())
        return align_face(photo, box=found.boxes[largest], landmarks=found.landmarks[largest], size=size)[0]
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror or error}): name a photo") from None
    except InvalidInput as error:
        raise ValueError(f"{path}: {error}") from None


@functools.cache
def _detector() -> "DetectorEngine":
    from runtime.detect.detector_engine import load_detector
    from runtime.detect.detector_file import find_detector

    return load_detector(find_detector(), precision="fp32")
