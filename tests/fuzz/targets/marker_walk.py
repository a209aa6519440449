"""The marker walk: it counts the pixels that the decoder sees, and never less work than the decoder has."""

import os
from typing import Any

# Read by OpenCV once: what says that it is larger is refused by a sentence with the limit's name.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 24))

import cv2
import numpy as np

from runtime.errors import InvalidImage
from runtime.image.containers import Picture
from runtime.image.decode import read_picture
from tests.fuzz.mutations import mutate_picture
from tests.fuzz.target import Broken, Target, hold
from tests.fuzz.targets.decode import check_sentence
from tests.fuzz.targets.pictures import MAX_BYTES, hostile, seeds
from tests.fuzz.work import peak_bytes, processor_seconds

MAX_PIXELS = 1_000_000
MAX_SCAN_PIXELS = 6_000_000
# The walk keeps the file, and once more without what the decoder is not to see.
MAX_WALK_MEMORY = 8 * 1024 * 1024
# Of one pixel in one pass, at worst: arithmetic coding takes 60 ns or so. On a busy machine three times that.
_SECONDS_A_PIXEL = 200e-9
_BLOCK = 32
_SECONDS_A_BYTE = 1e-6
_SECONDS_A_FILE = 0.02


def run(data: bytes) -> None:
    """Walks any bytes, and compares what is accepted with what OpenCV makes of it."""
    pictures: list[Picture] = []

    def walk() -> None:
        try:
            pictures.append(
                read_picture(memoryview(data), max_pixels=MAX_PIXELS, max_scan_pixels=MAX_SCAN_PIXELS)
            )
        except InvalidImage as error:
            check_sentence(error)

    peak = peak_bytes(walk)
    hold(peak <= MAX_WALK_MEMORY, f"the walk took {peak:,} bytes")
    for picture in pictures:
        _check_statement(picture)
        if picture.format != "PPM":
            _check_decoder(picture)


def _check_statement(picture: Picture) -> None:
    hold(1 <= picture.orientation <= 8, f"an orientation of {picture.orientation}")
    hold(picture.width >= 1 and picture.height >= 1, "a picture without pixels was accepted")
    hold(picture.width * picture.height <= MAX_PIXELS, "a picture beyond the limit was accepted")
    hold(picture.scans > 0, f"{picture.scans} passes")
    hold(picture.width * picture.height * picture.scans <= MAX_SCAN_PIXELS, "passes beyond the limit")


def _check_decoder(picture: Picture) -> None:
    encoded = np.frombuffer(picture.encoded, dtype=np.uint8)
    flags = (
        cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION if picture.format == "JPEG" else cv2.IMREAD_UNCHANGED
    )
    pixels: list[Any] = []

    def decode() -> None:
        pixels.clear()
        try:
            pixels.append(cv2.imdecode(encoded, flags))
        except cv2.error as error:
            if "MAX_IMAGE" in str(error):
                raise Broken(f"the decoder sees more than {picture.width} x {picture.height}") from None

    # A decoder works in blocks, of which the smallest picture has one.
    scan_pixels = max(_BLOCK, picture.width) * max(_BLOCK, picture.height) * picture.scans
    enough = _SECONDS_A_FILE + _SECONDS_A_BYTE * len(encoded) + _SECONDS_A_PIXEL * scan_pixels
    seconds = processor_seconds(decode, enough=enough)
    hold(
        seconds <= enough,
        f"decoding takes {seconds:.3f} s of a processor, {enough:.3f} were to be expected of "
        f"{picture.width} x {picture.height} in {picture.scans:.2f} passes",
    )
    for decoded in pixels:
        if decoded is not None:
            seen = decoded.shape[:2]
            hold(
                seen[0] * seen[1] <= picture.width * picture.height,
                f"the decoder sees {seen}, the walk {picture.height} x {picture.width}",
            )
            depth = decoded.nbytes / (seen[0] * seen[1])
            hold(depth <= picture.pixel_bytes, f"{depth} bytes a pixel, the walk says {picture.pixel_bytes}")


TARGET = Target(
    name="marker_walk",
    about="runtime/image/containers/: sizes, passes, completeness, against the decoder",
    run=run,
    seeds=seeds,
    more_seeds=hostile,
    mutate=mutate_picture,
    minutes=8,
    max_bytes=MAX_BYTES,
)
