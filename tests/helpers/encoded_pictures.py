"""Encoded pictures of every sort, for tests of decoding."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from runtime.errors import InvalidImage
from runtime.image.decode import decode_image


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pillow(data: bytes) -> NDArray[np.uint8]:
    """Pillow's answer: upright, on white, RGB."""
    with Image.open(io.BytesIO(data)) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.asarray(image.convert("RGB"))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    *, width: int, height: int, depth: int = 8, kind: int = 2, rows: bytes = b"", extra: bytes = b""
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + body


def refusal(data: bytes) -> str:
    """The sentence with which `data` is refused."""
    with pytest.raises(InvalidImage) as caught:
        decode_image(data)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert "; " in message, "the sentence should say what to do"
    return message


def with_alpha(photo: Image.Image) -> Image.Image:
    ramp = np.tile(np.linspace(0, 255, photo.width).astype(np.uint8), (photo.height, 1))
    return Image.merge("RGBA", (*photo.split(), Image.fromarray(ramp)))


# How an upright picture lies in a file of an Exif orientation; of 1 as it is.
STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
