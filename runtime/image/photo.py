"""A photo whose pixels are decoded when they are needed, and no finer than they are needed.

Most of what a large JPEG costs is its pixels, of which a search for faces and a face's crop need a part. The
format's own transform gives a half, a quarter or an eighth of its size for less. Places in a photo (boxes,
landmarks, maps) are in its full pixels, whatever was decoded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.image.decode import MAX_PIXELS, MAX_SCAN_PIXELS, decode_picture, mirrored, read_picture
from runtime.image.jpeg import SCALES

# What is made of a reduced photo is nearly what the full one gives (answers differ by a part of what bf16's
# tolerances allow) where it has at least so many times the pixels, a side.
FINER = 2
_LITTLE = 1.5  # that a copy may be smaller without an average
_AROUND = 3  # pixels that count where a copy of a part is made, beyond its edges


@dataclass(frozen=True, kw_only=True)
class Reduced:
    """A photo's pixels [h, w, 3] uint8 RGB, upright, each of which shows `scale` x `scale` pixels of it.

    `offset` (x, y): where the first of them begins in the photo, in its pixels: 0, or less than 0 where the
    pixels at an edge show less of the photo than the others.
    """

    pixels: NDArray[np.uint8]
    scale: int = 1
    offset: tuple[int, int] = (0, 0)

    def place(self, corners: ArrayLike) -> NDArray[np.float64]:
        """Points [n, 2] of the photo among these pixels; both measured from the outer edges, not centres."""
        return np.asarray((np.asarray(corners, dtype=np.float64) - self.offset) / self.scale)

    def around(self, corners: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The pixels that show a part of the photo and some around it, and its `place` among those.

        `corners` [2, 2] are the part's first and last corner.
        """
        part = self.place(corners)
        left, top = np.maximum(0, np.floor(part[0]).astype(int) - _AROUND)
        right, bottom = np.ceil(part[1]).astype(int) + _AROUND
        return self.pixels[top:bottom, left:right], part - (left, top)


class Photo:
    """An encoded picture that was checked, with its upright `width` and `height` in pixels.

    Raises InvalidImage as `runtime.image.decode.read_picture` does, before anything is decoded. What can't be
    decoded is noticed when its pixels are asked for, at every scale alike. Each scale is decoded once.
    """

    def __init__(
        self,
        data: bytes | memoryview | NDArray[np.uint8],
        *,
        max_pixels: int = MAX_PIXELS,
        max_scan_pixels: int = MAX_SCAN_PIXELS,
    ) -> None:
        picture = read_picture(data, max_pixels=max_pixels, max_scan_pixels=max_scan_pixels)
        stored = picture.width, picture.height
        self.width, self.height = stored if picture.orientation < 5 else stored[::-1]
        self._picture = picture
        self._scales = SCALES if picture.format == "JPEG" else SCALES[:1]
        self._decoded: dict[int, Reduced] = {}

    def pixels(self, *, longer: int | None = None) -> NDArray[np.uint8]:
        """The pixels [h, w, 3] uint8 RGB, upright: full ones, or as few as `reduced` gives for `longer`."""
        return self.reduced(longer=longer).pixels

    def reduced(self, *, longer: int | None = None) -> Reduced:
        """The photo with a longer side of at least so many pixels, or of as many as it has (None: of all).

        At the smallest of the decoder's scales that gives them (a JPEG's are 1, 1/2, 1/4 and 1/8, of other
        formats there is only 1), or at a finer one that was decoded before.
        """
        whole = max(self.width, self.height)
        return self._at_most([scale for scale in self._scales if longer and -(-whole // scale) >= longer])

    def for_zoom(self, zoom: float, *, finer: float = FINER) -> Reduced:
        """The photo for a copy of `zoom` times its size; if reduced, it has `finer` times that or more."""
        return self._at_most([scale for scale in self._scales if finer * zoom * scale <= 1])

    def mirrored(self) -> "Photo":
        """The photo's mirror image, left and right exchanged; what was decoded of the one is of the other."""
        mirror = object.__new__(Photo)
        mirror.width, mirror.height, mirror._scales = self.width, self.height, self._scales
        # Of two orientations, 1 and 2 to 7 and 8, the one is the other mirrored across.
        orientation = self._picture.orientation
        mirror._picture = replace(self._picture, orientation=orientation + (1 if orientation % 2 else -1))
        mirror._decoded = {
            scale: mirror._placed(np.asarray(cv2.flip(reduced.pixels, 1), dtype=np.uint8), scale=scale)
            for scale, reduced in self._decoded.items()
        }
        return mirror

    def _at_most(self, scales: Sequence[int]) -> Reduced:
        """The coarsest of these scales, 1 where there is none, or the next finer one that is there."""
        coarsest = max(scales, default=1)
        there = [scale for scale in self._decoded if scale <= coarsest]
        if not there:
            pixels = decode_picture(self._picture, scale=coarsest)
            self._decoded[coarsest] = self._placed(pixels, scale=coarsest)
        return self._decoded[max(there, default=coarsest)]

    def _placed(self, pixels: NDArray[np.uint8], *, scale: int) -> Reduced:
        height, width = pixels.shape[:2]
        across, down = mirrored(self._picture.orientation)
        # The pixels that show less than the others are the last that are stored.
        return Reduced(
            pixels=pixels,
            scale=scale,
            offset=(
                self.width - scale * width if across else 0,
                self.height - scale * height if down else 0,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A part of a photo at another size: pixels [h, w, 3] uint8 RGB.

    `scale` [2] and `offset` [2], x and y: copy = photo * scale + offset, both measured from the outer edges.
    """

    pixels: NDArray[np.uint8]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]


def copy_of(
    image: NDArray[np.uint8] | Photo,
    *,
    size: tuple[int, int],
    part: tuple[int, int, int, int] | None = None,
    finer: float = FINER,
) -> Copy:
    """A photo (or its pixels [H, W, 3] uint8) at a `size` (width, height), averaged or interpolated.

    `part` x0, y0, x1, y1 is the part to copy, in whole pixels of the photo; without it all is copied. A photo
    that is reduced has at least `finer` times the copy's pixels, a side. The copy then begins and ends with
    its pixels: it shows up to one of them more, which `scale` and `offset` account for.
    """
    left, top, right, bottom = (0, 0, *size_of(image)) if part is None else part
    zoom = max(size[0] / (right - left), size[1] / (bottom - top))
    decoded = pixels_for(image, zoom=zoom, finer=finer)
    (ahead, above), step = decoded.offset, decoded.scale
    x0, y0 = (left - ahead) // step, (top - above) // step
    x1, y1 = -((ahead - right) // step), -((above - bottom) // step)
    pixels = _resized(decoded.pixels[y0:y1, x0:x1], size)
    scale = np.array([size[0] / ((x1 - x0) * step), size[1] / ((y1 - y0) * step)])
    return Copy(
        pixels=pixels, scale=scale, offset=-(np.array([x0 * step + ahead, y0 * step + above]) * scale)
    )


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    # Halves are averaged ten times as fast as other parts; what is left shrinks too little to skip pixels.
    while min(width / size[0], height / size[1]) >= 2 and width % 2 == height % 2 == 0:
        width, height = width // 2, height // 2
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    method = cv2.INTER_AREA if max(width / size[0], height / size[1]) > _LITTLE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)


def size_of(image: NDArray[np.uint8] | Photo) -> tuple[int, int]:
    """Width and height in pixels of a photo, or of one that is an array [H, W, 3]."""
    return (image.width, image.height) if isinstance(image, Photo) else (image.shape[1], image.shape[0])


def pixels_for(image: NDArray[np.uint8] | Photo, *, zoom: float, finer: float = FINER) -> Reduced:
    """What `Photo.for_zoom` gives, or an array [H, W, 3] as it is."""
    return image.for_zoom(zoom, finer=finer) if isinstance(image, Photo) else Reduced(pixels=image)


def mirror_of(image: NDArray[np.uint8] | Photo) -> NDArray[np.uint8] | Photo:
    """A photo, or an array [H, W, 3], with left and right exchanged."""
    return image.mirrored() if isinstance(image, Photo) else np.asarray(cv2.flip(image, 1), dtype=np.uint8)
