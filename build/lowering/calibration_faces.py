"""Faces to calibrate a quantiser on: crops out of a directory of people's pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from build.detector import find_detector
from build.errors import BuildError
from runtime.detect.detector_engine import DetectorEngine, load_detector
from runtime.detect.faces import find_faces
from runtime.errors import InvalidImage, InvalidInput
from runtime.image.align import align_face
from runtime.image.crops import Crop
from runtime.image.decode import decode_image

# Below this many pictures a quantiser's ranges depend more on the pictures than on faces.
CALIBRATION_FACES = 500
# More faces change a quantiser's ranges no more, and cost time.
MOST = 2000
_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".ppm"}
_LOG_EVERY = 200


def calibration_faces(
    directory: Path,
    *,
    size: int,
    detector: Path | None,
    log: Callable[[str], None],
    crop: Crop = align_face,
) -> NDArray[np.uint8]:
    """The face of each picture below a directory, as the network sees it: [N, size, size, 3] RGB.

    A picture of exactly `size` x `size` pixels is taken for such a crop; in any other the largest face is
    found and cut out by `crop`, as in serving. Of more than `MOST` pictures every so many-th is taken.
    The same directory gives the same faces in the same order.
    Raises BuildError for what is no readable directory, and for fewer than 500 pictures or faces.
    """
    pictures = _pictures_below(directory)
    if len(pictures) < CALIBRATION_FACES:
        raise BuildError(
            f"{directory} holds {len(pictures)} pictures (JPEG, PNG, WebP or PPM), but {CALIBRATION_FACES} "
            "or more are needed to calibrate on: name a fuller directory with CALIBRATION="
        )
    if len(pictures) > MOST:
        log(f"{len(pictures)} pictures below {directory}: {MOST}, evenly spread, are used")
        pictures = [pictures[number] for number in evenly(len(pictures), MOST)]
    engine = load_detector(detector or find_detector())
    faces = []
    unreadable = without_face = 0
    for number, picture in enumerate(pictures, 1):
        try:
            face = _face(decode_image(picture.read_bytes()), size=size, engine=engine, crop=crop)
        except (OSError, InvalidImage):
            unreadable += 1
            continue
        finally:
            if number % _LOG_EVERY == 0:
                log(f"faces to calibrate on: {number} of {len(pictures)} pictures read")
        if face is None:
            without_face += 1
        else:
            faces.append(face)
    left_out = f"{without_face} show no face, {unreadable} can't be read"
    if len(faces) < CALIBRATION_FACES:
        raise BuildError(
            f"{len(pictures)} pictures of {directory} give {len(faces)} faces ({left_out}), but "
            f"{CALIBRATION_FACES} or more are needed: name a fuller directory with CALIBRATION="
        )
    log(f"{len(faces)} faces to calibrate on, from {len(pictures)} pictures ({left_out})")
    return np.stack(faces)


def evenly(total: int, count: int) -> NDArray[np.intp]:
    """`count` different numbers from 0 to `total` - 1, evenly spread."""
    return np.linspace(0, total - 1, count).round().astype(np.intp)


def _pictures_below(directory: Path) -> list[Path]:
    try:
        if not directory.is_dir():
            raise BuildError(
                f"{directory} is not a directory of pictures to calibrate on: name one with CALIBRATION="
            )
        next(directory.iterdir(), None)  # rglob passes over what it may not read
        found = [path for path in directory.rglob("*") if path.suffix.lower() in _PICTURES and path.is_file()]
    except OSError as error:
        raise BuildError(
            f"the pictures in {directory} can't be read ({error.strerror}): make them readable, or name "
            "another directory with CALIBRATION="
        ) from None
    return sorted(found)


def _face(
    image: NDArray[np.uint8], *, size: int, engine: DetectorEngine, crop: Crop
) -> NDArray[np.uint8] | None:
    """The largest face's crop; None where there is no face."""
    if image.shape[:2] == (size, size):
        return image
    found = find_faces(image, engine.infer)
    if not len(found):
        return None
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    largest = int(np.argmax(sides.prod(axis=1)))
    try:
        return crop(image, landmarks=found.landmarks[largest], size=size)[0]
    except InvalidInput:
        return None
