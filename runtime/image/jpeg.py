"""A JPEG's pixels at one of the sizes that its own transform gives: whole, a half, a quarter or an eighth.

Two decoders share the work, and both are libjpeg-turbo. simplejpeg writes RGB where it is to stay. What it
does not take (four components, rare samplings) or finds damaged is OpenCV's, whose verdict counts: it fills
in what damage took, and knows what can't be decoded. What both decode is equal bit for bit.
"""

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from runtime.image.containers import Picture
from runtime.memory import lacks_memory

# Photo pixels a side of one pixel, and how OpenCV is asked for it.
SCALES = (1, 2, 4, 8)
_READ = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_THREE_OR_ONE = ("YCbCr", "RGB", "Gray")
# A damaged file may be decoded twice: one with more to go over than this (pixels times passes) is at once
# OpenCV's, so that two times take no longer than the largest picture that is accepted takes once.
_MAX_TWICE = 150_000_000


def jpeg_pixels(picture: Picture, *, scale: int = 1) -> NDArray[np.uint8] | None:
    """The picture [H, W, 3] uint8 RGB as stored, before its orientation; None where it can't be decoded.

    `scale` is one of SCALES: H and W are the picture's height and width divided by it, rounded up, and
    pixel i shows what begins at `scale` * i. Damage inside the compressed data shows in the pixels.
    """
    size = -(-picture.height // scale), -(-picture.width // scale)
    pixels = None
    if picture.width * picture.height * picture.scans <= _MAX_TWICE:
        pixels = _undamaged(picture.encoded, size=size, scale=scale)
    if pixels is None:
        pixels = _filled_in(picture.encoded, scale=scale)
    return pixels if pixels is not None and pixels.shape == (*size, 3) else None


def _undamaged(data: bytes, *, size: tuple[int, int], scale: int) -> NDArray[np.uint8] | None:
    """What simplejpeg makes of a file without any damage; None for others.

    After damage it may return memory that it never wrote to, so it stops at the first.
    """
    try:
        if simplejpeg.decode_jpeg_header(data)[2] not in _THREE_OR_ONE:
            return None
        height, width = size
        return np.asarray(
            simplejpeg.decode_jpeg(
                data, colorspace="RGB", min_height=height, min_width=width, min_factor=scale, strict=True
            )
        )
    except (ValueError, KeyError):  # KeyError: of a sampling that has no name there
        return None


def _filled_in(data: bytes, *, scale: int) -> NDArray[np.uint8] | None:
    """What OpenCV makes of the file. As colour, because only then it converts CMYK as printers mean it."""
    try:
        flags = _READ[scale] | cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        if lacks_memory(error):
            raise
        return None
    return None if pixels is None else np.asarray(pixels, dtype=np.uint8)
