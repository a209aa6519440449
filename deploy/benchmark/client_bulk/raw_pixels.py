"""What it costs to send decoded pixels as each lossless format that a server reads.

    python -m deploy.benchmark.client_bulk.raw_pixels

Processor milliseconds, the median of three, to write a photo of 12 million pixels here and to read it at the
server.
"""

import functools
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from deploy.measuring.command import command, parser_of
from deploy.measuring.pictures.photos import PHOTOS, made_jpeg
from deploy.measuring.processor_time import core_ms
from qface_client._photos.pixels import ppm
from runtime.image.decode import decode_image

_MODULE = "deploy.benchmark.client_bulk.raw_pixels"
_ROUNDS = 3


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
        data = write()
        assert np.array_equal(decode_image(data), pixels)
        taken = core_ms({"write": write, "read": functools.partial(decode_image, data)}, rounds=_ROUNDS)
        print(f"| {name} | {len(data) / 1e6:.1f} | {taken['write']:.0f} | {taken['read']:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
