"""From an encoded photo to upright RGB pixels, the same for training, server and local inference."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidImage
from runtime.image.containers import Picture, read_container
from runtime.image.jpeg import jpeg_pixels
from runtime.memory import lacks_memory

MAX_PIXELS = 50_000_000
# Pixels times the passes that a decoder makes over them: ordinary progressive JPEGs of MAX_PIXELS take five
# to six. At worst (dense or arithmetic coding) it is about two seconds of a core; without it, minutes.
MAX_SCAN_PIXELS = 300_000_000
# Of a file. Raw pixels (PPM) may be as large as `max_pixels` of them are.
MAX_FILE_BYTES = 64 * 1024 * 1024
# While it is decoded, a picture may take as much as `max_pixels` of this many bytes: 8-bit RGBA.
_PIXEL_BYTES = 4
# Pixels that are brought to RGB at once: what this needs on the way is small then.
_STRIP_PIXELS = 1_000_000


def decode_image(
    data: bytes | NDArray[np.uint8], *, max_pixels: int = MAX_PIXELS, max_scan_pixels: int = MAX_SCAN_PIXELS
) -> NDArray[np.uint8]:
    """The photo [H, W, 3] uint8 RGB, upright, of an encoded picture (bytes or a uint8 array [n]).

    JPEG (progressive and CMYK too), PNG (all kinds), WebP (of an animation the first frame) and
    binary PPM. The Exif orientation is applied; transparent parts are laid on white; 16 bits become 8
    (divided by 257, rounded); grey becomes RGB. Colour profiles are not applied.
    Damage inside a JPEG's or a WebP's compressed data shows in the pixels, and can't always be distinguished
    from a picture that looks so; all other damage is refused.

    Raises InvalidImage for what `read_picture` refuses, and for what can't be decoded.
    """
    return decode_picture(read_picture(data, max_pixels=max_pixels, max_scan_pixels=max_scan_pixels))


def read_picture(
    data: bytes | memoryview | NDArray[np.uint8],
    *,
    max_pixels: int = MAX_PIXELS,
    max_scan_pixels: int = MAX_SCAN_PIXELS,
) -> Picture:
    """What is known of an encoded picture (bytes or a uint8 array [n]) before it is decoded.

    Raises InvalidImage for what is empty, another format, damaged, cut short, a file of more than
    `MAX_FILE_BYTES`, of more than `max_pixels` pixels, so deep that its channels take more bytes than those
    of `max_pixels` pixels in 8-bit RGBA, or of so many scans that a decoder would go over more than
    `max_scan_pixels` pixels.
    """
    view = data.reshape(-1).data if isinstance(data, np.ndarray) else memoryview(data)
    largest = MAX_FILE_BYTES if bytes(view[:2]) != b"P6" else max(MAX_FILE_BYTES, 3 * max_pixels + 4096)
    if view.nbytes > largest:
        raise InvalidImage(
            f"The file is {view.nbytes:,} bytes, more than the {largest:,} accepted; send a smaller copy."
        )
    whole = view.obj if isinstance(view.obj, bytes) and len(view.obj) == view.nbytes else view.tobytes()
    picture = read_container(whole)
    pixels = picture.width * picture.height
    if pixels > max_pixels:
        raise InvalidImage(
            f"The {picture.format} is {picture.width:,} x {picture.height:,} pixels, more than the "
            f"{max_pixels:,} accepted; send a smaller copy."
        )
    if pixels * picture.pixel_bytes > max_pixels * _PIXEL_BYTES:
        raise InvalidImage(
            f"The {picture.format} of {picture.width:,} x {picture.height:,} pixels takes "
            f"{picture.pixel_bytes} bytes a pixel, more than the {max_pixels * _PIXEL_BYTES:,} bytes "
            "accepted in all; send a smaller copy, or one of 8 bits."
        )
    if pixels * picture.scans > max_scan_pixels:
        raise InvalidImage(
            f"The {picture.format} of {picture.width:,} x {picture.height:,} pixels goes over each of them "
            f"{picture.scans:.1f} times, {pixels * picture.scans:,.0f} in all, more than the "
            f"{max_scan_pixels:,} accepted; send a smaller copy, or one that is not progressive."
        )
    return picture


def decode_picture(picture: Picture, *, scale: int = 1) -> NDArray[np.uint8]:
    """The pixels [H, W, 3] uint8 RGB, upright, of a picture that was read; `decode_image` says more.

    `scale`: 1, or for a JPEG 2, 4 or 8, by which its sides are divided and rounded up.
    Raises InvalidImage for what can't be decoded.
    """
    if picture.format == "JPEG":
        pixels = jpeg_pixels(picture, scale=scale)
    elif picture.format == "PPM":
        pixels = _ppm_pixels(picture)
    else:
        pixels = _opencv_pixels(picture)
    if pixels is None:
        raise InvalidImage(
            f"The {picture.format} of {picture.width} x {picture.height} pixels can't be decoded: it is "
            "damaged or of a rare kind; save it again."
        )
    return _upright(pixels, orientation=picture.orientation)


def _ppm_pixels(picture: Picture) -> NDArray[np.uint8]:
    count = picture.width * picture.height * 3
    pixels = np.frombuffer(picture.encoded, dtype=np.uint8, count=count, offset=picture.header)
    # A copy: what comes from bytes can't be written to.
    return pixels.reshape(picture.height, picture.width, 3).copy()


def _opencv_pixels(picture: Picture) -> NDArray[np.uint8] | None:
    """A PNG or WebP as OpenCV decodes it, brought to RGB; None where it can't be decoded."""
    try:
        data = np.frombuffer(picture.encoded, dtype=np.uint8)
        # [H, W] or [H, W, 3 or 4] uint8 or uint16; colours in BGR order.
        pixels: Any = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if lacks_memory(error):
            raise
        return None
    if pixels is None or pixels.shape[:2] != (picture.height, picture.width):
        return None
    rgb = np.empty((picture.height, picture.width, 3), dtype=np.uint8)
    rows = max(1, _STRIP_PIXELS // picture.width)
    for top in range(0, picture.height, rows):
        rgb[top : top + rows] = _strip_to_rgb(pixels[top : top + rows], picture)
    return rgb


def _strip_to_rgb(pixels: NDArray[Any], picture: Picture) -> NDArray[np.uint8]:
    if picture.clear_grey is not None and pixels.ndim == 2:
        pixels = np.where(pixels == picture.clear_grey, np.iinfo(pixels.dtype).max, pixels).astype(
            pixels.dtype
        )
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB))
    if pixels.shape[2] == 3:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    alpha = cv2.cvtColor(pixels[..., 3], cv2.COLOR_GRAY2RGB)
    color = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB)
    return np.asarray(cv2.add(cv2.multiply(color, alpha, scale=1 / 255), cv2.bitwise_not(alpha)))


def _upright(pixels: NDArray[np.uint8], *, orientation: int) -> NDArray[np.uint8]:
    """Undoes an Exif orientation: 2 to 4 mirror or turn by 180 degrees, 5 to 8 exchange the axes too.

    The pixels are mirrored where they lie; with the axes exchanged they are others.
    """
    if orientation >= 5:
        pixels = np.asarray(cv2.transpose(pixels), dtype=np.uint8)
    across, down = mirrored(orientation)
    if across or down:
        cv2.flip(pixels, -1 if across and down else int(across), dst=pixels)
    return pixels


def mirrored(orientation: int) -> tuple[bool, bool]:
    """Whether an Exif orientation mirrors across and down, after it exchanged the axes (5 to 8)."""
    return orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
