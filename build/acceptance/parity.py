"""How far two engines' answers to the same pictures lie apart, output by output."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from build.errors import BuildError
from runtime.detect.blazeface import TILES, find_faces
from runtime.engines.openvino import OpenVinoEngine
from runtime.image.align import align_face
from runtime.image.crops import Crop
from runtime.image.decode import decode_image

# The largest difference allowed in fp32, in any output's own numbers.
FULL_PRECISION = 1e-4
# The same for kinds whose numbers are of another size: pixels, which count up to the crop's side, and the
# part of a mask's pixels, of which some lie where two classes are equally likely.
_FULL_PRECISION_OF = {"points": 1e-3, "mask": 1e-3}
# The same at lower precision, by kind: probability, the value's unit (years), degrees, pixels, and of
# a mask the part of its pixels.
LOW_PRECISION = {
    "classes": 0.02,
    "multilabel": 0.02,
    "value": 0.5,
    "rotation": 0.5,
    "points": 0.5,
    "mask": 0.005,
}

Tensors = Mapping[str, NDArray[Any]]


def pictures(count: int, *, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Made-up pictures [count, size, size, 3] with soft and hard edges, the same ones for the same seed."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (count, 8, 8, 3)).astype(np.float32)
    soft = np.stack([cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC) for picture in coarse])
    noisy = soft + random.normal(0, 12, soft.shape)
    return np.asarray(np.clip(noisy, 0, 255), dtype=np.uint8)


def real_crops(
    photo: Path, *, detector: Path, size: int, count: int, seed: int = 0, crop: Crop = align_face
) -> NDArray[np.uint8]:
    """Crops [count, size, size, 3] of the faces in a photo as they are served: moved, turned, lit anew.

    `crop` cuts them out, as the network's contract asks.

    Raises BuildError for a photo that can't be read or shows no face.
    """
    try:
        image = decode_image(photo.read_bytes())
    except (OSError, ValueError) as error:
        raise BuildError(f"the photo {photo} can't be read ({error}): name another with --photo") from None
    engine = OpenVinoEngine.for_detector(detector)
    found = find_faces(image, lambda tiles: engine.infer({TILES: tiles}))
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


def blind(contract: Mapping[str, Any], answers: Tensors) -> list[str]:
    """The outputs that would pass at low precision though they always gave the same answer for these faces.

    `answers` are those for all the faces. About such an output a comparison on these faces says nothing.
    """
    allowed = tolerances(contract, precision="bf16")
    constant = {
        name: np.broadcast_to(np.median(values, axis=0).astype(values.dtype), values.shape)
        for name, values in answers.items()
    }
    apart = differences_in_units(contract, answers, constant)
    return [name for name, value in apart.items() if value <= allowed[name]]


def differences(expected: Tensors, answered: Tensors) -> dict[str, float]:
    """The largest absolute difference of each output; of class ids (uint8), the part that differs.

    An output that is missing, has another shape, or holds NaN is infinitely far.
    """
    found = {}
    for name, values in expected.items():
        other = answered.get(name)
        if other is None or other.shape != values.shape:
            found[name] = float("inf")
        elif values.dtype == np.uint8:
            found[name] = float(np.mean(values != other)) if values.size else 0.0
        else:
            apart = np.abs(values.astype(np.float64) - other)
            found[name] = float(np.nan_to_num(apart, nan=np.inf, posinf=np.inf).max(initial=0.0))
    return found


def differences_in_units(
    contract: Mapping[str, Any], expected: Tensors, answered: Tensors
) -> dict[str, float]:
    """`differences` as people read them: rotations by the angle between them in degrees."""
    found = differences(expected, answered)
    for entry in contract["tasks"]:
        name = entry["name"]
        if entry["kind"] == "rotation" and np.isfinite(found[name]):
            apart = np.linalg.norm(expected[name].astype(np.float64) - answered[name], axis=(-2, -1))
            # Two rotations an angle a apart differ by 2 sqrt(2) sin(a / 2) in Frobenius' norm.
            angles = 2 * np.arcsin(np.clip(apart / (2 * np.sqrt(2)), 0, 1))
            found[name] = float(np.degrees(angles.max(initial=0.0)))
    return found


def tolerances(contract: Mapping[str, Any], *, precision: str) -> dict[str, float]:
    """The largest difference allowed for each output at a precision."""
    if precision == "fp32":
        return {
            entry["name"]: _FULL_PRECISION_OF.get(entry["kind"], FULL_PRECISION)
            for entry in contract["tasks"]
        }
    return {entry["name"]: LOW_PRECISION[entry["kind"]] for entry in contract["tasks"]}


def furthest(
    by_batch: Mapping[str, Mapping[str, float]], allowed: Mapping[str, float]
) -> tuple[str, float] | None:
    """The output that lies furthest beyond what is allowed for it, and how far; None if all are allowed."""
    worst = max(
        ((name, value) for by_output in by_batch.values() for name, value in by_output.items()),
        key=lambda found: found[1] / allowed[found[0]],
    )
    return None if worst[1] <= allowed[worst[0]] else worst
