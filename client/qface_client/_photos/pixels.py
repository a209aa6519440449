"""Arrays of the usual modes as RGB pixels, by the rules by which a server reads a PNG of the same pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput

MAX_PIXELS = 50_000_000  # that the server takes of one picture

_TAKEN = (
    "uint8, uint16 or bool, [height, width] grey, or [height, width, channels] with 1 (grey), 2 (grey and "
    "alpha), 3 (RGB) or 4 (RGBA) channels"
)
_HINTS = {
    "f": "of values from 0 to 1 give (255 * array).round().astype(np.uint8)",
    "i": "of values from 0 to 255 give array.astype(np.uint8)",
    "u": "of values from 0 to 255 give array.astype(np.uint8)",
}
_STRIP_PIXELS = 1_000_000  # whose alpha is applied at once: what this needs on the way is small then


def rgb_pixels(pixels: NDArray[Any], *, what: str = "a photo") -> NDArray[np.uint8]:
    """An array as uint8 [height, width, 3] RGB, the same memory where it is that already.

    16 bits become 8 (divided by 257, rounded), bool becomes 0 and 255, grey becomes RGB, and transparent
    pixels are laid on white. InvalidInput for any other array.
    """
    _check(pixels, what=what)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2]
    if pixels.dtype == np.uint8 and channels == 3:
        return pixels
    rgb = np.empty((*pixels.shape[:2], 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        rgb[top : top + rows] = _strip(pixels[top : top + rows])
    return rgb


def array_pixels(array: NDArray[Any], *, what: str = "a photo") -> NDArray[np.uint8]:
    """`rgb_pixels` of what a caller gives; InvalidInput also for 16 bits that look like 8.

    In files 16 bits are what their format states. An array of them without a value above 255 most often has
    8 bits of a picture, of which nothing but black would be left.
    """
    if array.dtype.kind == "u" and array.dtype.itemsize == 2 and array.size:
        _check_range(array, what=what)
    return rgb_pixels(array, what=what)


def _check_range(array: NDArray[Any], *, what: str) -> None:
    has_alpha = array.ndim == 3 and array.shape[2] in (2, 4)
    if 0 < int((array[..., :-1] if has_alpha else array).max()) <= 255:
        raise InvalidInput(
            f"{what} as an array of uint16 has the range 0 to 65535, and this one no value above 255: of "
            "values from 0 to 255 give array.astype(np.uint8), and if it is as dark as that, "
            "(array // 257).astype(np.uint8)"
        )


def ppm(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB pixels [height, width, 3] as the bytes of a binary PPM.

    A header of a few bytes: no encoder's time, no loss. Of 12 million pixels it takes 21 ms here and 6 ms at
    the server, where the quickest PNG takes 670 and 330 ms to become 12 of 36 MB
    (`python -m deploy.benchmark.client_bulk.raw_pixels`).
    """
    height, width, _ = pixels.shape
    header = f"P6\n{width} {height}\n255\n".encode()
    data = np.empty(len(header) + pixels.size, np.uint8)
    data[: len(header)] = np.frombuffer(header, np.uint8)
    data[len(header) :].reshape(pixels.shape)[...] = pixels
    return data


def check_count(width: int, height: int, *, file: str | None = None) -> None:
    """InvalidInput for more pixels than a server takes."""
    if height * width > MAX_PIXELS:
        raise InvalidInput(
            f"a photo of {width} x {height} pixels is more than the {MAX_PIXELS:,} that the server takes: "
            "send a smaller copy",
            file=file,
        )


def _check(pixels: NDArray[Any], *, what: str) -> None:
    shape, dtype = list(pixels.shape), pixels.dtype
    found = f"not {dtype} {shape}"
    if dtype.newbyteorder("=") not in (np.uint8, np.uint16, np.bool_):
        raise InvalidInput(f"{what} as an array is {_TAKEN}, {found}: {_HINTS.get(dtype.kind, 'convert it')}")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and shape[2] not in (1, 2, 3, 4)):
        hint = "convert it first"
        if pixels.ndim == 3 and shape[0] in (1, 3, 4):
            hint = "its channels come first: give np.moveaxis(array, 0, -1)"
        elif pixels.ndim == 4:
            hint = "give its pictures one by one"
        raise InvalidInput(f"{what} as an array is {_TAKEN}, {found}: {hint}")
    if 0 in shape:
        raise InvalidInput(f"{what} has no pixels (its shape is {shape}): check how it was cut out")


def _strip(pixels: NDArray[Any]) -> NDArray[Any]:
    """[height, width, 1 to 4] as [height, width, 3], or [height, width, 1] of grey."""
    if pixels.dtype == np.bool_:
        pixels = pixels * np.uint8(255)
    elif pixels.dtype.itemsize == 2:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.shape[2] % 2:
        return pixels
    color, alpha = pixels[..., :-1].astype(np.uint16), pixels[..., -1:].astype(np.uint16)
    return ((color * alpha + 127) // 255 + (255 - alpha)).astype(np.uint8)
