"""What callers hand in, as the bytes, arrays and names that the server takes."""

import asyncio
import dataclasses
import io
import numbers
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from .errors import InvalidInput

_ORIENTATION = 0x0112  # EXIF: values 5 to 8 swap width and height

# What the server takes of one picture; more is refused here, before it fills memory on both sides. Raw pixels
# are larger than a file of the same photo.
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 50_000_000

Photo = str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[np.uint8]
Crops = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoded:
    """An encoded picture: its bytes as UINT8 [length], and the name of the file that it came from."""

    data: NDArray[np.uint8]
    file: str | None

    def size(self) -> tuple[int, int]:
        """Width and height in pixels after its EXIF rotation; reads the header only."""
        try:
            with Image.open(io.BytesIO(self.data.tobytes())) as picture:
                width, height = picture.size
                turned = picture.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise InvalidInput(f"can't be read: {error}", file=self.file) from error
        return (height, width) if turned else (width, height)


def encode(photo: Photo) -> Encoded:
    """The encoded bytes of a photo: a file, bytes as they are, or an array [H, W, 3] as binary PPM.

    PPM is the array behind a header of a few bytes: no encoder's time, no loss. Raises InvalidInput for
    what is no picture at a glance; whether the bytes really are one is the server's to say.
    """
    if isinstance(photo, np.ndarray):
        pixels = check_pixels(photo)
        height, width, _ = pixels.shape
        if height * width > MAX_PIXELS:
            raise InvalidInput(
                f"a photo of {width} x {height} pixels is more than the {MAX_PIXELS:,} that the server "
                "takes: send a smaller copy"
            )
        header = np.frombuffer(f"P6\n{width} {height}\n255\n".encode(), dtype=np.uint8)
        return Encoded(data=np.concatenate([header, pixels.ravel()]), file=None)
    if isinstance(photo, bytes | bytearray | memoryview):
        _check_size(memoryview(photo).nbytes, raw=bytes(memoryview(photo).cast("B")[:2]) == b"P6", file=None)
        data, file = bytes(photo), None
    elif isinstance(photo, str | os.PathLike):
        file = os.fsdecode(photo)
        data = _read(file)
    else:
        raise InvalidInput(
            f"a photo is a path, bytes, or a uint8 array [height, width, 3], not {type(photo).__name__}: "
            f"turn a PIL image into one by np.asarray(image.convert('RGB'))"
        )
    if not data:
        raise InvalidInput("the picture is empty (0 bytes): check how it was written", file=file)
    return Encoded(data=np.frombuffer(data, dtype=np.uint8), file=file)


def search_parameters(
    *, min_score: float | None, max_faces: int | None, min_face: float | None
) -> dict[str, int | float]:
    """The request parameters of a search for faces, in the types that the protocol sends; None: left out.

    InvalidInput for what is no number. The server checks the range.
    """
    parameters: dict[str, int | float] = {}
    for name, share in (("min_score", min_score), ("min_face", min_face)):
        if share is not None:
            _check_number(name, share, numbers.Real, "a number")
            try:
                parameters[name] = float(share)
            except OverflowError:
                raise InvalidInput(f"{name} is a number of 1 at most, not one that is too large") from None
    if max_faces is not None:
        _check_number("max_faces", max_faces, numbers.Integral, "a whole number")
        if not 0 < max_faces < 1 << 63:  # what the protocol can send
            raise InvalidInput(f"max_faces is 1 or more, not {max_faces}")
        parameters["max_faces"] = int(max_faces)
    return parameters


def task_names(tasks: Iterable[str] | None) -> tuple[str, ...] | None:
    """The named tasks; None: all. InvalidInput for what is no name."""
    if tasks is None:
        return None
    names = (tasks,) if isinstance(tasks, str) else tuple(tasks) if isinstance(tasks, Iterable) else (tasks,)
    for name in names:
        if not isinstance(name, str):
            raise InvalidInput(f"tasks are named by strings, not by {name!r}: `qface info` lists them")
    return names


def _check_number(name: str, value: Any, kind: type[Any], taken: str) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidInput(f"{name} is {taken}, not {value!r}")


async def encode_in_thread(photo: Photo) -> Encoded:
    """`encode` without holding up the event loop: files are read in a thread."""
    return await asyncio.to_thread(encode, photo)


def _read(file: str) -> bytes:
    try:
        status = Path(file).stat()
        # A pipe or a device might never end.
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise InvalidInput(
                f"can't be read: it is {kind}; name a picture file, or give its bytes", file=file
            )
        with Path(file).open("rb") as opened:
            _check_size(status.st_size, raw=opened.read(2) == b"P6", file=file)
            opened.seek(0)
            return opened.read()
    except OSError as error:
        raise InvalidInput(f"can't be read: {error.strerror or error}", file=file) from error
    except ValueError as error:  # a NUL, or characters that this machine's file names can't have
        raise InvalidInput(f"{file!r} can't be the name of a file ({error}): check it") from error


def _check_size(size: int, *, raw: bool, file: str | None) -> None:
    limit = 3 * MAX_PIXELS + 4096 if raw else MAX_FILE_BYTES
    if size > limit:
        raise InvalidInput(
            f"the picture is {size:,} bytes, more than the {limit:,} that the server takes: send a smaller "
            "copy",
            file=file,
        )


def check_pixels(pixels: NDArray[Any], *, what: str = "a photo") -> NDArray[np.uint8]:
    """The same array, C-contiguous; InvalidInput if it is not uint8 [height, width, 3] of some size."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InvalidInput(
            f"{what} as an array is uint8 [height, width, 3] in RGB, "
            f"not {pixels.dtype} {list(pixels.shape)}: convert it first"
        )
    if 0 in pixels.shape:
        raise InvalidInput(
            f"{what} has no pixels (its shape is {list(pixels.shape)}): check how it was cut out"
        )
    return np.ascontiguousarray(pixels)


def stack_crops(crops: Crops) -> NDArray[np.uint8]:
    """Crops of one size as UINT8 [N, H, W, 3]; InvalidInput names the crop that does not fit."""
    checked = []
    for index, crop in enumerate(crops):
        if not isinstance(crop, np.ndarray):
            raise InvalidInput(
                f"crop {index} is {type(crop).__name__}, not a uint8 array: analyze_crop takes files too"
            )
        checked.append(check_pixels(crop, what=f"crop {index}"))
        if checked[index].shape != checked[0].shape:
            raise InvalidInput(
                f"crop {index} has {_size(checked[index])} pixels and crop 0 {_size(checked[0])}: "
                f"crops of one request have one size; resize them, or call analyze_crop for each"
            )
    return np.stack(checked)


def box_tensor(box: Sequence[float] | None) -> NDArray[np.float32]:
    """x0, y0, x1, y1 as FP32 [4]; None as NaN, which means "no box" to the server."""
    if box is None:
        return np.full(4, np.nan, np.float32)
    return _as_tensor(box, shape=(4,), what="a box is four numbers x0, y0, x1, y1 in pixels")


def landmarks_tensor(landmarks: ArrayLike | None) -> NDArray[np.float32]:
    """Five points as FP32 [5, 2]; None as NaN, which means "no landmarks" to the server."""
    if landmarks is None:
        return np.full((5, 2), np.nan, np.float32)
    return _as_tensor(landmarks, shape=(5, 2), what="landmarks are five points x, y in pixels")


def _as_tensor(values: ArrayLike, *, shape: tuple[int, ...], what: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # too large for FP32: infinite, which the server refuses
            tensor = np.asarray(np.asarray(values, dtype=np.float64), dtype=np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"{what}, not {values!r}") from error
    if tensor.shape != shape:
        raise InvalidInput(f"{what}, not an array of shape {list(tensor.shape)}")
    if np.isnan(tensor).any():
        raise InvalidInput(f"{what}, and NaN is none: leave the argument out where there is nothing to say")
    return tensor


def _size(pixels: NDArray[np.uint8]) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
