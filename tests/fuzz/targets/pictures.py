"""What the picture targets begin with, and their common sizes."""

import io
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from deploy.benchmark.load.picture_bombs import progressive
from tests.helpers.encoded_pictures import chunk, encode, png
from tests.hostile.pictures.corpus import corpus

MAX_BYTES = 16 * 1024
_SIDE = 24


def seeds() -> list[bytes]:
    """Small files of every container and kind."""
    ramp = np.arange(_SIDE * _SIDE * 3, dtype=np.uint8).reshape(_SIDE, _SIDE, 3)
    photo = Image.fromarray(ramp)
    exif = photo.getexif()
    exif[0x0112] = 6
    grey = photo.convert("L")
    alpha = photo.convert("RGBA")
    alpha.putalpha(grey)
    jpeg: list[tuple[Image.Image, dict[str, Any]]] = [
        (photo, {}),
        (photo, {"subsampling": "4:4:4", "exif": exif}),
        (photo, {"progressive": True}),
        (photo, {"restart_marker_blocks": 1}),
        (photo, {"icc_profile": b"junk" * 8}),
        (grey, {}),
        (photo.convert("CMYK"), {"progressive": True}),
    ]
    files = [encode(image, "JPEG", quality=50, **options) for image, options in jpeg]
    files += [progressive(width=33, height=17, scans=40)]
    files += [encode(image, "PNG") for image in (photo, grey, alpha, photo.convert("P"), grey.convert("1"))]
    files += [encode(photo, "PNG", exif=exif), encode(grey.convert("I;16"), "PNG")]
    files += [encode(photo.convert("P"), "PNG", transparency=3), encode(grey, "PNG", transparency=7)]
    files += [
        png(width=5, height=2, depth=depth, kind=kind, rows=bytes(2 * (1 + 5 * 8)))
        for depth, kind in itertools.product((8, 16), (0, 2, 4, 6))
    ]
    files += [png(width=4, height=1, depth=2, kind=3, rows=b"\0\x1b", extra=chunk(b"PLTE", bytes(range(12))))]
    files += [encode(photo, "WEBP"), encode(photo, "WEBP", lossless=True), encode(alpha, "WEBP", exif=exif)]
    files += [_animated(photo), encode(photo, "PPM"), b"P6 # two\n2 1 255 " + bytes(6)]
    files += [encode(photo, kind) for kind in ("GIF", "BMP", "TIFF")]
    return files


def hostile() -> Iterator[bytes]:
    """The small files of the hostile corpus."""
    return (file.data for file in corpus() if len(file.data) <= MAX_BYTES)


def _animated(photo: Image.Image) -> bytes:
    file = io.BytesIO()
    frames = [photo.transpose(Image.Transpose.ROTATE_90)]
    photo.save(file, "WEBP", save_all=True, append_images=frames, duration=10)
    return file.getvalue()
