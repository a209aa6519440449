"""A picture of any sort as the encoded bytes that the server takes."""

import asyncio
import dataclasses
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput
from .formats import HEAD, foreign_format
from .kinds import Photo, is_pillow
from .pixels import array_pixels, check_count, ppm
from .reading import check_bytes, name_of, read_file, read_object

TAKEN = "a path, bytes, a binary file object, a picture of Pillow or an array"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoded:
    """An encoded picture: its bytes as UINT8 [length], and the name of the file that it came from."""

    data: NDArray[np.uint8]
    file: str | None
    pixels: tuple[int, int] | None = None  # width and height, where known

    def size(self) -> tuple[int, int]:
        """Width and height in pixels after its EXIF rotation; reads the header only."""
        if self.pixels is not None:
            return self.pixels
        from .pillow import size_of

        return size_of(self.data, file=self.file)


def encode(photo: Photo) -> Encoded:
    """The encoded bytes of a photo, decoded here only where the server does not read its format.

    Raises InvalidInput for what is no picture at a glance; whether the bytes that the server reads really are
    one is the server's to say.
    """
    if isinstance(photo, np.ndarray):
        return _of_pixels(array_pixels(photo), file=None)
    if is_pillow(photo):
        from .pillow import pixels_of

        return _of_pixels(pixels_of(photo), file=None)
    data, file = read_bytes(photo)
    if (format_name := foreign_format(data[:HEAD])) is not None:
        from .pillow import decode

        return _of_pixels(decode(data, format_name=format_name, file=file), file=file)
    return Encoded(data=np.frombuffer(data, dtype=np.uint8), file=file)


def read_bytes(photo: Any) -> tuple[bytes, str | None]:
    """The bytes of a picture that is none of arrays and Pillow's, and the name of its file."""
    if isinstance(photo, bytes | bytearray | memoryview):
        view = memoryview(photo)
        check_bytes(view if view.format == "B" and view.ndim == 1 else view.cast("B"))
        return bytes(photo), None
    if isinstance(photo, str | os.PathLike):
        path = os.fsdecode(photo)
        return read_file(path), path
    if hasattr(photo, "read"):
        name = name_of(photo)
        return read_object(photo, file=name), name
    raise InvalidInput(f"a photo is {TAKEN}, not {type(photo).__name__}")


async def encode_in_thread(photo: Photo) -> Encoded:
    """`encode` without holding up the event loop: files are read and pictures decoded in a thread."""
    if isinstance(photo, bytes) and foreign_format(photo[:HEAD]) is None:
        return encode(photo)
    return await asyncio.to_thread(encode, photo)


def _of_pixels(pixels: NDArray[np.uint8], *, file: str | None) -> Encoded:
    height, width, _ = pixels.shape
    check_count(width, height, file=file)
    return Encoded(data=ppm(pixels), file=file, pixels=(width, height))
