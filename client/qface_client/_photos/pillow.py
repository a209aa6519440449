"""Pictures that Pillow decodes here: its own, and files of formats that the server does not read."""

import io
import threading
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import InvalidInput
from .pixels import check_count, rgb_pixels

T = TypeVar("T")

_ORIENTATION = 0x0112  # EXIF: values 5 to 8 swap width and height
_PACKAGES = {"HEIF": "pillow-heif", "AVIF": "Pillow 11.3 or newer"}
# What a server reads too.
_SERVED = ("JPEG", "PNG", "WEBP", "PPM", "MPO")
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_PLAIN = ("1", "L", "LA", "RGB", "RGBA")
_SEVERAL_FILTERS = threading.Lock()


def decode(data: bytes, *, format_name: str | None, file: str | None = None) -> NDArray[np.uint8]:
    """The RGB pixels [height, width, 3], upright, of a file of a format (None: one that the server reads).

    Of several pictures in one the first. InvalidInput where Pillow does not read it, or it is too large.
    """
    if format_name is not None and not _is_read(format_name):
        needs = f" (it needs {_PACKAGES[format_name]})" if format_name in _PACKAGES else ""
        raise InvalidInput(
            f"it is a picture of {format_name}, which Pillow does not read here{needs}: save it as JPEG",
            file=file,
        )

    def read() -> NDArray[np.uint8]:
        formats = _SERVED if format_name is None else (format_name,)
        with Image.open(io.BytesIO(data), formats=formats) as picture:
            return _pixels(picture, file=file)

    return _readable(read, what=f"can't be read as {format_name or 'a picture'}", file=file)


def pixels_of(picture: Image.Image) -> NDArray[np.uint8]:
    """The RGB pixels [height, width, 3] of a picture of Pillow, upright by its EXIF orientation."""
    return _readable(lambda: _pixels(picture, file=None), what="the picture can't be decoded", file=None)


def size_of(data: NDArray[np.uint8], *, file: str | None) -> tuple[int, int]:
    """Width and height of a file in pixels after its EXIF rotation; reads the header only."""

    def read() -> tuple[int, int]:
        with Image.open(io.BytesIO(data.data)) as picture:
            width, height = picture.size
            return (height, width) if _orientation(picture) >= 5 else (width, height)

    return _readable(read, what="can't be read", file=file)


def _pixels(picture: Image.Image, *, file: str | None) -> NDArray[np.uint8]:
    check_count(*picture.size, file=file)
    picture.load()
    if _orientation(picture) != 1:
        picture = ImageOps.exif_transpose(picture)
    mode = picture.mode
    if mode in _GREY_16 or (mode == "I" and picture.format == "PNG"):  # "I": before Pillow 11.3
        grey = np.asarray(picture).astype(np.uint16)
        clear = picture.info.get("transparency")
        return rgb_pixels(grey if clear is None else np.where(grey == clear, np.uint16(0xFFFF), grey))
    if mode in ("I", "F"):
        raise InvalidInput(
            f"a picture of mode {mode!r} has no known range: convert it to 8 bits first", file=file
        )
    if mode in _PLAIN and "transparency" not in picture.info:
        return rgb_pixels(np.asarray(picture))
    if picture.has_transparency_data:
        return rgb_pixels(np.asarray(picture.convert("LA" if mode == "La" else "RGBA")))
    return rgb_pixels(np.asarray(picture.convert("RGB")))


def _orientation(picture: Image.Image) -> int:
    try:
        found = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing
        return 1
    return found if found in range(1, 9) else 1


def _is_read(format_name: str) -> bool:
    if format_name not in Image.OPEN:
        Image.init()
    return format_name in Image.OPEN


def _readable(read: Callable[[], T], *, what: str, file: str | None) -> T:
    """What `read` gives; InvalidInput for all that Pillow raises about a picture, but never for its warnings.

    Those are exceptions where the caller has made them so. Only then are they ignored: that is the whole
    process's, and so one thread's at a time.
    """
    try:
        try:
            return read()
        except Warning:
            with _SEVERAL_FILTERS, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return read()
    except InvalidInput:
        raise
    except Exception as error:  # Pillow's decoders raise of any sort, on damaged files
        raise InvalidInput(f"{what}: {str(error) or type(error).__name__}", file=file) from error
