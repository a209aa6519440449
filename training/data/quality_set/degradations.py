"""What makes a face unusable: a wrong detector, things in front of it, bad light, blur, few pixels.

Each degradation takes a strength in 0..1; several come together, in the order in which they happen between
a face and a file. At a strength near 0 a crop stays what it was, and at 1 hardly a face is left.
"""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # [D, D, 3] RGB

_MILD = 0.25  # part of the crops that stay nearly what they were
_UPSCALING = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)
_FEWEST_PIXELS = 5  # side of the smallest face


@dataclasses.dataclass(frozen=True, kw_only=True)
class Degraded:
    """A degraded crop, and where the face went."""

    pixels: Picture
    matrix: NDArray[np.float64]  # [2, 3], from the crop's pixels to this one's
    turned: float  # degrees clockwise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moved:
    """A shift in sides of the crop, a zoom and a turn: what a detector's error makes of a crop."""

    shift: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    turned: float = 0.0  # degrees clockwise

    def matrix(self, side: int) -> NDArray[np.float64]:
        """[2, 3], from the pixels of a crop of `side` pixels to those of the moved one."""
        cos = self.zoom * np.cos(np.radians(self.turned))
        sin = self.zoom * np.sin(np.radians(self.turned))
        linear = np.array([[cos, -sin], [sin, cos]])  # y points down, so that this turns clockwise
        middle = np.full(2, (side - 1) / 2)
        offset = middle + np.asarray(self.shift) * side - linear @ middle
        return np.concatenate([linear, offset[:, None]], axis=1)


def draw_severity(rng: np.random.Generator) -> float:
    """How bad a crop becomes: many hardly change, the others are anything."""
    return float(0.15 * rng.random() if rng.random() < _MILD else rng.random())


def degrade(crop: Picture, *, rng: np.random.Generator, severity: float, other: Picture) -> Degraded:
    """A crop after one to three degradations; `other` is another picture of its size, for what covers it."""
    count = int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
    chosen = set(rng.choice(1 + len(_OF_PIXELS), size=count, replace=False).tolist())
    moved = _draw_move(rng, severity * rng.uniform(0.6, 1)) if 0 in chosen else Moved()
    pixels = move(crop, moved, rng=rng, other=other)
    for number, step in enumerate(_OF_PIXELS, start=1):
        if number in chosen:
            pixels = step(pixels, severity * float(rng.uniform(0.6, 1)), rng, other)
    return Degraded(pixels=pixels, matrix=moved.matrix(len(crop)), turned=moved.turned)


def move(crop: Picture, moved: Moved, *, rng: np.random.Generator, other: Picture) -> Picture:
    """A moved crop. Where it shows what the crop does not have: its mirror image, `other`, or black."""
    if moved == Moved():
        return crop
    side, matrix = len(crop), moved.matrix(len(crop))
    if moved.zoom < 0.7:  # a bilinear warp alone would skip pixels
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), 0.5 / moved.zoom), np.uint8)
    filled = rng.random()
    border = cv2.BORDER_REFLECT_101 if filled < 0.5 else cv2.BORDER_CONSTANT
    warped = np.asarray(cv2.warpAffine(crop, matrix, (side, side), borderMode=border), np.uint8)
    if filled < 0.8:
        return warped
    shown = cv2.warpAffine(np.full((side, side), 255, np.uint8), matrix, (side, side))
    return np.where(np.asarray(shown)[..., None] > 0, warped, other)


def _draw_move(rng: np.random.Generator, strength: float) -> Moved:
    if rng.random() < 0.4:  # half a face
        far = float(rng.uniform(0.3, 0.8) * strength * rng.choice([-1, 1]))
        shift = (far, 0.0) if rng.random() < 0.6 else (0.0, far)
        return Moved(shift=shift)
    x, y, size, angle = rng.uniform(-1, 1, 4) * strength
    turned = 180.0 * angle if rng.random() < 0.3 else 45.0 * angle
    zoom = float(np.exp(size * (1.3 if size > 0 else 1.6)))
    return Moved(shift=(0.4 * float(x), 0.4 * float(y)), zoom=zoom, turned=float(turned))


def _cover(pixels: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    """Patches, parts of other photos, fingers, or all of one side."""
    side = len(pixels)
    mask = np.zeros((side, side), np.uint8)
    draw = rng.random()
    if draw < 0.25:
        _paint_fingers(mask, strength=strength, rng=rng)
    elif draw < 0.5:  # one side, as a mask, a book or another head covers it
        far = round(side * (0.05 + 0.85 * strength))
        mask[:far] = 255
        mask = np.asarray(np.rot90(mask, int(rng.integers(4))), np.uint8)
    else:
        for _ in range(int(rng.integers(1, 4))):
            radius = side * (0.03 + 0.52 * strength) * rng.uniform(0.5, 1, 2)
            centre = rng.uniform(0.2, 0.8, 2) * side
            first, last = (centre - radius).astype(int), (centre + radius).astype(int)
            if rng.random() < 0.5:
                cv2.rectangle(mask, first.tolist(), last.tolist(), (255,), -1)
            else:
                axes = np.maximum(radius, 1).astype(int).tolist()
                turned = float(rng.uniform(0, 180))
                cv2.ellipse(mask, centre.astype(int).tolist(), axes, turned, 0, 360, (255,), -1)
    cover: Picture = other
    if draw < 0.25 or rng.random() < 0.5:
        cover = _surface(side, rng=rng, like=pixels if draw < 0.25 else None)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.4, 2))), np.float32)[..., None] / 255
    return np.asarray(pixels * (1 - soft) + cover * soft, np.uint8)


def _paint_fingers(mask: NDArray[np.uint8], *, strength: float, rng: np.random.Generator) -> None:
    side = len(mask)
    direction = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(direction), np.sin(direction)])
    across = np.array([-along[1], along[0]])
    middle = rng.uniform(0.3, 0.7, 2) * side
    width = side * rng.uniform(0.06, 0.11)
    for finger in range(1 + round(4 * strength)):
        tip = middle + across * (finger - 2 * strength) * width * 1.15 + along * rng.normal(0, 0.05) * side
        first, last = tip.astype(int).tolist(), (tip + along * side).astype(int).tolist()
        cv2.line(mask, first, last, (255,), round(width))


def _surface(side: int, *, rng: np.random.Generator, like: Picture | None) -> Picture:
    """One colour with a little texture; that of the picture's middle where it is to look `like` it."""
    colour = rng.integers(0, 256, 3).astype(np.float32)
    if like is not None:
        inside = slice(side // 3, 2 * side // 3)
        colour = like[inside, inside].reshape(-1, 3).mean(axis=0) * rng.uniform(0.7, 1.3)
    texture = cv2.resize(rng.normal(0, rng.uniform(2, 25), (9, 9, 1)), (side, side))
    return np.asarray(np.clip(colour + np.asarray(texture).reshape(side, side, 1), 0, 255), np.uint8)


def _relight(pixels: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    """Dark, overexposed, without contrast, or lit from one side alone."""
    values = pixels.astype(np.float32)
    draw = rng.random()
    if draw < 0.45:
        values = values * np.exp(-4 * strength)
    elif draw < 0.7:
        values = values * np.exp(1.2 * strength) + 150 * strength
    elif draw < 0.85:
        level = rng.uniform(10, 245)
        values = level + (values - level) * (1 - 0.97 * strength)
    else:
        ramp = np.linspace(np.exp(-4 * strength), np.exp(1.2 * strength), len(pixels))
        values = values * np.rot90(np.broadcast_to(ramp, pixels.shape[:2]), int(rng.integers(4)))[..., None]
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _blur(pixels: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    """Out of focus, or moved while the shutter was open."""
    side = len(pixels)
    reach = max(1, round(0.09 * side * strength))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    if rng.random() < 0.5:
        cv2.circle(kernel, (reach, reach), reach, (1.0,), -1)
    else:
        reach = max(1, round(0.2 * side * strength))
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        direction = rng.uniform(0, np.pi)
        x, y = round(reach * np.cos(direction)), round(reach * np.sin(direction))
        cv2.line(kernel, (reach - x, reach - y), (reach + x, reach + y), (1.0,), 1)
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum()), np.uint8)


def _shrink(pixels: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    """Few pixels, enlarged again."""
    side = len(pixels)
    small = max(_FEWEST_PIXELS, round(side * (_FEWEST_PIXELS / side) ** strength))
    fewer = cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA)
    back = _UPSCALING[int(rng.integers(len(_UPSCALING)))]
    return np.asarray(cv2.resize(fewer, (side, side), interpolation=back), np.uint8)


def _add_noise(pixels: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    channels = 1 if rng.random() < 0.4 else 3
    noise = rng.normal(0, 110 * strength, (*pixels.shape[:2], channels))
    return np.asarray(np.clip(pixels + noise, 0, 255), np.uint8)


def _compress(pixels: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    quality = max(1, round(90 * (1 - strength) ** 1.5))
    _, content = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR_RGB), np.uint8)


# In the order in which they happen.
_OF_PIXELS: tuple[Callable[[Picture, float, np.random.Generator, Picture], Picture], ...] = (
    _cover,
    _relight,
    _blur,
    _shrink,
    _add_noise,
    _compress,
)
