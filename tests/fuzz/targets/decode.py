"""decode_image: upright pixels within the limits, or InvalidImage, and no more memory than promised."""

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidImage
from runtime.image.decode import decode_image, read_picture
from tests.fuzz.mutations import mutate_picture
from tests.fuzz.target import Target, hold
from tests.fuzz.targets.pictures import MAX_BYTES, hostile, seeds
from tests.fuzz.work import peak_bytes

MAX_PIXELS = 100_000
MAX_SCAN_PIXELS = 600_000
# A pixel takes four bytes while it is decoded, eight where a decoder keeps frames of its own or a progressive
# file's coefficients, and three in what comes of it. The allocator and the libraries take the rest.
MAX_MEMORY = MAX_PIXELS * 24 + 16 * 1024 * 1024


def run(data: bytes) -> None:
    """Decodes any bytes."""
    decoded: list[NDArray[np.uint8]] = []

    def decode() -> None:
        try:
            decoded.append(
                decode_image(data, max_pixels=MAX_PIXELS, max_scan_pixels=MAX_SCAN_PIXELS),
            )
        except InvalidImage as error:
            check_sentence(error)

    peak = peak_bytes(decode)
    hold(peak <= MAX_MEMORY, f"decoding took {peak:,} bytes, more than {MAX_MEMORY:,}")
    for pixels in decoded:
        _check(pixels, data)


def is_decoded(data: bytes) -> bool:
    """Whether the bytes are a picture."""
    try:
        decode_image(data, max_pixels=MAX_PIXELS, max_scan_pixels=MAX_SCAN_PIXELS)
    except InvalidImage:
        return False
    return True


def _check(pixels: NDArray[np.uint8], data: bytes) -> None:
    hold(pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3, f"{pixels.shape} came out")
    hold(pixels.flags.c_contiguous and pixels.flags.writeable, "the pixels are no plain array")
    hold(0 < pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS, f"{pixels.shape} is beyond the limit")
    picture = read_picture(memoryview(data), max_pixels=MAX_PIXELS, max_scan_pixels=MAX_SCAN_PIXELS)
    stored = (picture.height, picture.width)
    upright = stored if picture.orientation < 5 else stored[::-1]
    hold(pixels.shape[:2] == upright, f"{pixels.shape} came out of {stored}, turned {picture.orientation}")
    # An array that is not the start of its memory, as a request's row is.
    row = np.frombuffer(b"x" + data, dtype=np.uint8)[1:]
    again = decode_image(row, max_pixels=MAX_PIXELS, max_scan_pixels=MAX_SCAN_PIXELS)
    hold(np.array_equal(again, pixels), "the same bytes gave other pixels the second time")


def check_sentence(error: Exception) -> None:
    """That a refusal is a sentence which a client can read and act on."""
    text = str(error)
    hold(text.endswith(".") and "; " in text and text.isprintable(), f"no such sentence: {text!r}")
    hold(len(text) < 500, f"{len(text)} characters of refusal")


TARGET = Target(
    name="decode",
    about="runtime/image/decode.py: all containers, EXIF, limits, memory",
    run=run,
    seeds=seeds,
    more_seeds=hostile,
    mutate=mutate_picture,
    minutes=8,
    max_bytes=MAX_BYTES,
)
