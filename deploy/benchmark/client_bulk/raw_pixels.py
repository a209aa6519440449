"""What it costs to send decoded pixels as each lossless format that a server reads.

    python -m deploy.benchmark.client_bulk.raw_pixels

Processor milliseconds, the least of three, to write a photo of 12 million pixels here and to read it at the
server.
"""

import io
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

from deploy.measuring.command import command, parser_of
from deploy.measuring.pictures.photos import PHOTOS, made_jpeg
from qface_client._photos.pixels import ppm
from runtime.image.decode import decode_image

T = TypeVar("T")

_MODULE = "deploy.benchmark.client_bulk.raw_pixels"
_TRIES = 3


def core_ms(function: Callable[[], T]) -> tuple[float, T]:
    """The least processor time of several tries, and what the function returns."""
    times = list[float]()
    for _ in range(_TRIES):
        began = time.process_time()
        result = function()
        times.append(1e3 * (time.process_time() - began))
    return min(times), result


def as_file(picture: Image.Image, kind: str, **options: int | bool) -> bytes:
    """The picture as a file's bytes."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@command("raw_pixels")
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser_of(_MODULE, __doc__).parse_args(arguments)
    pixels = decode_image(made_jpeg(PHOTOS[-1]))
    picture = Image.fromarray(pixels)
    formats: dict[str, Callable[[], bytes]] = {
        "PPM": lambda: ppm(pixels).tobytes(),
        "PNG, level 1": lambda: as_file(picture, "PNG", compress_level=1),
        "PNG, level 6": lambda: as_file(picture, "PNG", compress_level=6),
        "WebP, lossless, quickest": lambda: as_file(picture, "WEBP", lossless=True, method=0, quality=0),
    }
    print("| format | MB | core-ms to write | core-ms to read |\n|---|---:|---:|---:|")
    for name, write in formats.items():
        written, data = core_ms(write)
        read, again = core_ms(lambda data=data: decode_image(data))  # type: ignore[misc]
        assert np.array_equal(again, pixels)
        print(f"| {name} | {len(data) / 1e6:.1f} | {written:.0f} | {read:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
