"""Pictures on which two engines' answers are compared: made-up ones, and real faces out of a photo."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from build.errors import BuildError
from runtime.detect.detector_engine import load_detector
from runtime.detect.faces import find_faces
from runtime.image.align import align_face
from runtime.image.crops import Crop
from runtime.image.decode import decode_image


def pictures(count: int, *, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Synthetic pictures [count, size, size, 3] with soft and hard edges, the same ones for the same seed."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (count, 8, 8, 3)).astype(np.float32)
    soft = np.stack([cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC) for picture in coarse])
    noisy = soft + random.normal(0, 12, soft.shape)
    return np.asarray(np.clip(noisy, 0, 255), dtype=np.uint8)


def real_crops(
    photo: Path, *, detector: Path, size: int, count: int, seed: int = 0, crop: Crop = align_face
) -> NDArray[np.uint8]:
    """Crops [count, size, size, 3] of the faces in a photo as they are served: moved, turned, lit anew.

    `crop` cuts them out, as the network's contract names it.

    Raises BuildError for a photo that can't be read or shows no face.
    """
    try:
        image = decode_image(photo.read_bytes())
    except (OSError, ValueError) as error:
        raise BuildError(f"the photo {photo} can't be read ({error}): name another with --photo") from None
    engine = load_detector(detector)
    found = find_faces(image, engine.infer)
    if not len(found):
        raise BuildError(f"no face is found in {photo}: name another with --photo")
    random = np.random.default_rng(seed)
    crops = []
    for number in range(count):
        landmarks = found.landmarks[number % len(found)]
        if number >= len(found):
            landmarks = _moved(landmarks, random)
        pixels, _ = crop(image, landmarks=landmarks, size=size)
        if number >= len(found):
            pixels = _disturbed(pixels, random)
        crops.append(pixels[:, :: 1 if number % 2 == 0 else -1])
    return np.stack(crops)


def _moved(landmarks: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Landmarks [5, 2] turned, scaled and displaced, more than a detector would: other crops of the face."""
    between_eyes = float(np.hypot(*(landmarks[1] - landmarks[0])))
    centre = landmarks[:2].mean(axis=0)
    angle, scale = np.radians(random.uniform(-35, 35)), random.uniform(0.6, 1.5)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    displaced = random.normal(0, 0.12 * between_eyes, 2) + centre
    return np.asarray((landmarks - centre) @ turn.T * scale + displaced, dtype=np.float32)


def _disturbed(crop: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """A crop [S, S, 3] lit anew, blurred, and with a part of it covered."""
    size = len(crop)
    picture: NDArray[Any] = crop.astype(np.float32)
    if random.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), sigmaX=random.uniform(0.5, 2.5) * size / 112)
    if random.random() < 0.5:
        x, y = random.integers(0, size, 2)
        width, height = random.integers(size // 6, size // 2, 2)
        picture[y : y + height, x : x + width] = random.uniform(0, 255, 3)
    lit = picture * random.uniform(0.5, 1.3) + random.uniform(-30, 30)
    return np.asarray(np.clip(lit, 0, 255), dtype=np.uint8)
