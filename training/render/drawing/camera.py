"""Camera effects: focus, motion blur, resolution, colours, noise and JPEG."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def apply_camera(rng: np.random.Generator, sharp: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture [H, W, 3] (sRGB 0 to 1) as a camera might have taken and kept it; geometry stays."""
    picture: Any = sharp
    height, width = picture.shape[:2]
    unit = height / 384
    # The renderer has no soft edges of its own.
    picture = cv2.GaussianBlur(picture, (0, 0), float(unit * rng.uniform(0.5, 0.9)))
    kind = rng.random()
    if kind < 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), float(unit * rng.uniform(0.5, 2.2)))
    elif kind < 0.34:
        picture = cv2.filter2D(picture, -1, _streak(rng, length=unit * rng.uniform(3, 11)))
    if rng.random() < 0.35:  # a small picture, enlarged
        part = float(np.exp(rng.uniform(np.log(0.2), np.log(0.65))))
        small = (max(24, round(width * part)), max(24, round(height * part)))
        ways = [cv2.INTER_LINEAR, cv2.INTER_CUBIC]
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        picture = _noisy(rng, picture)
        picture = cv2.resize(picture, (width, height), interpolation=ways[int(rng.integers(2))])
    else:
        picture = _noisy(rng, picture)
    if rng.random() < 0.25:  # darker corners
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        picture = picture * (1 - rng.uniform(0, 0.45) * (x**2 + y**2) / 2)[..., None].astype(np.float32)
    picture = np.clip(picture, 0, 1) ** float(np.exp(rng.normal(0, 0.16)))
    contrast, middle = float(np.exp(rng.normal(0, 0.16))), float(picture.mean())
    picture = (picture - middle) * contrast + middle
    grey = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    saturation = 0.0 if rng.random() < 0.08 else float(np.clip(rng.normal(1.0, 0.25), 0, 1.8))
    picture = grey[..., None] + saturation * (picture - grey[..., None])
    if rng.random() < 0.3:
        picture = picture * (1 + rng.normal(0, 0.06, 3)).astype(np.float32)
    return np.asarray(np.clip(picture, 0, 1), np.float32)


def apply_jpeg(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture [H, W, 3] uint8 after JPEG of a random quality, twice as often none."""
    if rng.random() < 0.45:
        return picture
    quality = int(np.clip(rng.normal(72, 20), 18, 96))
    done, data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise RuntimeError(f"OpenCV could not write a JPEG of {picture.shape}")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], np.uint8)


def _noisy(rng: np.random.Generator, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    if rng.random() < 0.3:
        return picture
    height, width = picture.shape[:2]
    strength = rng.beta(1, 3) * 0.055
    noise = rng.standard_normal((height, width, 3), np.float32)
    if rng.random() < 0.5:  # a sensor's noise after its colours were pieced together
        noise = cv2.GaussianBlur(noise, (0, 0), float(rng.uniform(0.5, 1.2))) * 1.8
    return np.asarray(picture + strength * noise * (0.4 + picture), np.float32)


def _streak(rng: np.random.Generator, *, length: float) -> NDArray[np.float32]:
    side = int(length) | 1
    kernel = np.zeros((side + 2, side + 2), np.float32)
    turn, middle = rng.uniform(0, np.pi), (side + 1) / 2
    reach = np.array([np.cos(turn), np.sin(turn)]) * side / 2
    first, last = np.rint(middle - reach).astype(int), np.rint(middle + reach).astype(int)
    cv2.line(kernel, first.tolist(), last.tolist(), (1.0,), 1)
    return np.asarray(kernel / kernel.sum(), np.float32)
