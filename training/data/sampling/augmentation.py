"""Augmentation of a training face: the variation of photos, cameras and the detector's errors.

Geometry is one warp, whose matrix transforms the labels too (training.kinds). Colour, blur
and compression are torchvision's functions, with strengths that the face's own generator draws.
"""

import dataclasses

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional  # type: ignore[import-untyped]

_BLACK = 6  # the brightest channel of a pixel outside the picture
_GAMMA = 0.5  # the largest absolute logarithm of a gamma
_MIN_SIDE = 12  # pixels, of a face in a low-resolution picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Strengths of the augmentation; all zero: none."""

    mirror: float = 0.5  # probability
    rotation: float = 10.0  # degrees, standard deviation 1/2 of this, clipped at twice
    scale: float = 0.10  # relative, likewise
    shift: float = 0.05  # of the crop's side, standard deviation 1/2 of this
    colour: float = 0.25  # brightness, contrast and saturation, relative
    tint: float = 0.05  # of each colour channel, relative
    grey: float = 0.15  # probability
    blur: float = 0.25  # probability of a blurred, low-resolution or compressed picture
    erase: float = 0.15  # probability of a covered patch
    gamma: float = 0.0  # probability of a changed gamma
    surround: float = 0.6  # probability that a chip's black frame is filled with another photo's surroundings

    def __post_init__(self) -> None:
        for name in ("mirror", "grey", "blur", "erase", "gamma", "surround"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augmentation: {name} = {getattr(self, name)} is no probability")
        for name in ("rotation", "scale", "shift", "colour", "tint"):
            if not 0 <= getattr(self, name) < (180 if name == "rotation" else 1):
                raise ValueError(f"augmentation: {name} = {getattr(self, name)} is out of range")
        if self.scale >= 0.5:
            raise ValueError(f"augmentation: scale = {self.scale} leaves no face: take less than 0.5")


NO_AUGMENTATION = Augmentation(
    mirror=0, rotation=0, scale=0, shift=0, colour=0, tint=0, grey=0, blur=0, erase=0, surround=0
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry:
    """The geometry of one face: mirrored, then turned clockwise by `turned` degrees, scaled and shifted."""

    matrix: NDArray[np.float64]  # [2, 3], from pixels of the stored crop to those of the network's
    mirrored: bool
    turned: float


def draw_geometry(
    rng: np.random.Generator, *, augmentation: Augmentation, side: int, crop_size: int, size: int
) -> Geometry:
    """A random geometry from a stored crop of `side` pixels, `crop_size` without margin, to one of `size`."""
    mirrored = bool(rng.random() < augmentation.mirror)
    turned = _clipped_normal(rng, augmentation.rotation)
    scale = (1 + _clipped_normal(rng, augmentation.scale)) * size / crop_size
    shift = rng.normal(0, 1, 2) * augmentation.shift / 2 * size
    cos, sin = scale * np.cos(np.radians(turned)), scale * np.sin(np.radians(turned))
    # y points down, so that this turns clockwise.
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    offset = (size - 1) / 2 + shift - linear @ np.full(2, (side - 1) / 2)
    return Geometry(
        matrix=np.concatenate([linear, offset[:, None]], axis=1), mirrored=mirrored, turned=turned
    )


def warp_picture(stored: NDArray[np.uint8], matrix: NDArray[np.float64], *, size: int) -> NDArray[np.uint8]:
    """The network's crop [size, size, 3] of a stored one; black outside it."""
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if zoom < 0.75:  # a bilinear warp alone would skip pixels
        before = stored.shape[0]
        after = round(before * zoom)
        stored = np.asarray(cv2.resize(stored, (after, after), interpolation=cv2.INTER_AREA), np.uint8)
        f = before / after
        back = np.array([[f, 0, (f - 1) / 2], [0, f, (f - 1) / 2], [0, 0, 1.0]])
        matrix = matrix @ back
    return np.asarray(cv2.warpAffine(stored, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)


def warp_mask(
    mask: NDArray[np.uint8], matrix: NDArray[np.float64], *, size: int, unknown: int
) -> NDArray[np.uint8]:
    """A mask under the picture's warp; `unknown` outside it."""
    return np.asarray(
        cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_NEAREST, borderValue=(unknown,)), np.uint8
    )


def fill_frame(crop: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A close-cut chip with its black frame replaced by another photo's pixels. Both [H, W, 3]."""
    # JPEG leaves the frame nearly black. What is dark inside the face is not connected to the edge.
    _, parts = cv2.connectedComponents((crop.max(axis=2) <= _BLACK).astype(np.uint8), connectivity=4)
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    frame = np.isin(parts, np.unique(edge[edge > 0])).astype(np.uint8)
    frame = np.asarray(cv2.dilate(frame, np.ones((5, 5), np.uint8)), np.uint8)
    return np.where(frame[..., None] > 0, other, crop)


def augment_pixels(
    picture: NDArray[np.uint8], *, rng: np.random.Generator, augmentation: Augmentation
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A picture [S, S, 3] after blur, colours and an erased patch; the patch as x0, y0, x1, y1 or NaN."""
    size = picture.shape[0]
    image = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).contiguous()
    if rng.random() < augmentation.blur:
        image = _degraded(image, rng)
    if rng.random() < augmentation.grey:
        image = functional.rgb_to_grayscale(image, num_output_channels=3)
    saturation, contrast, brightness = 1 + rng.uniform(-1, 1, 3) * augmentation.colour
    tint = 1 + rng.uniform(-1, 1, 3) * augmentation.tint
    if augmentation.colour:
        image = functional.adjust_saturation(image, float(saturation))
        image = functional.adjust_contrast(image, float(contrast))
        image = functional.adjust_brightness(image, float(brightness))
    if augmentation.tint:
        tinted = image.float() * torch.from_numpy(tint.astype(np.float32))[:, None, None]
        image = tinted.round().clamp(0, 255).to(torch.uint8)
    if augmentation.gamma and rng.random() < augmentation.gamma:
        image = functional.adjust_gamma(image, float(np.exp(rng.uniform(-1, 1) * _GAMMA)))
    patch = np.full(4, np.nan)
    if rng.random() < augmentation.erase:
        height, width = (int(n) for n in rng.integers(size // 8, size // 3, 2))
        y, x = int(rng.integers(size - height)), int(rng.integers(size - width))
        colour = torch.from_numpy(rng.integers(0, 256, (3, 1, 1), dtype=np.uint8))
        image = functional.erase(image, y, x, height, width, colour)
        patch = np.array([x, y, x + width, y + height], np.float64)
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy()), patch


def _degraded(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Of low resolution, out of focus, or strongly compressed."""
    size = image.shape[-1]
    draw = rng.random()
    worse: torch.Tensor
    if draw < 0.5:
        small = max(_MIN_SIDE, int(size * rng.uniform(0.25, 0.7)))
        worse = functional.resize(functional.resize(image, [small, small], antialias=True), [size, size])
    elif draw < 0.75:
        sigma = float(rng.uniform(0.5, 1.8)) * size / 112
        reach = 2 * max(1, round(3 * sigma)) + 1
        worse = functional.gaussian_blur(image, [reach, reach], [sigma, sigma])
    else:
        worse = functional.jpeg(image, int(rng.integers(25, 80)))
    return worse


def _clipped_normal(rng: np.random.Generator, strength: float) -> float:
    """Normal with half of `strength` as its standard deviation, clipped at twice `strength`."""
    return float(np.clip(rng.normal(), -4, 4)) * strength / 2
