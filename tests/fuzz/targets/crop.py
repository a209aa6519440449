"""Both crops of a face: of any box and landmarks a crop that can be mapped back, or a refusal."""

import contextlib
import functools
import random
import struct
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidBox, InvalidLandmarks
from runtime.image.align import align_face, invert, photo_to_crop, transform
from runtime.image.box_crop import shown_part
from runtime.image.crops import CROPS
from tests.fuzz.numbers_from_bytes import Numbers
from tests.fuzz.target import Change, Target, hold
from tests.fuzz.work import peak_bytes

_SIDES = (1, 2, 3, 17, 64, 200)
_LONG = 40_000  # beyond what OpenCV's warp takes
_LARGEST = _LONG * 17  # pixels
_GREY = 200
_LONGEST_SENTENCE = 400
_SIZES = (1, 2, 16, 112, 224)
# Of pictures and crops this small: copies of a part in other types, and the libraries' own.
MAX_MEMORY = 48 * 1024 * 1024


def run(data: bytes) -> None:
    """Cuts a face out of a picture; bytes choose the picture's sides, the crop's, the box and the points."""
    numbers = Numbers(data)
    width, height = _side(numbers), _side(numbers)
    if width * height > _LARGEST:
        height = _SIDES[height % len(_SIDES)]
    size = _SIZES[numbers.byte() % len(_SIZES)]
    given = numbers.byte()
    box = [numbers.coordinate() for _ in range(4)] if given & 1 else None
    points = [[numbers.coordinate(), numbers.coordinate()] for _ in range(5)] if given & 2 else None
    dtype = np.float32 if given & 4 else np.float64  # a request's, or a caller's
    with np.errstate(over="ignore"):  # in the test's own change of type
        box_sent = None if box is None else np.array(box, dtype=np.float64).astype(dtype)
        points_sent = None if points is None else np.array(points, dtype=np.float64).astype(dtype)
    image = _picture(width, height)
    given_face: dict[str, Any] = {"box": box_sent, "landmarks": points_sent}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an overflow or a division by zero on the way
        for name in CROPS:
            peak = peak_bytes(functools.partial(_cut, name, image, size=size, **given_face))
            hold(peak <= MAX_MEMORY, f"{name}: {peak:,} bytes for a picture of {width} x {height}")
        with contextlib.suppress(InvalidBox, InvalidLandmarks):
            left, top, right, bottom = shown_part(width=width, height=height, **given_face)
            hold(0 <= left < right <= width and 0 <= top < bottom <= height, "a part outside the picture")
        with contextlib.suppress(InvalidBox, InvalidLandmarks):
            forward = photo_to_crop(width=width, height=height, size=size, **given_face)
            _, back = align_face(image, size=size, **given_face)
            hold(np.allclose(invert(forward), back), "the map back is another one's")


@functools.cache
def _picture(width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), _GREY, dtype=np.uint8)


def _cut(name: str, image: NDArray[np.uint8], *, size: int, box: Any, landmarks: Any) -> None:
    height, width = image.shape[:2]
    try:
        crop, back = CROPS[name](image, box=box, landmarks=landmarks, size=size)
    except (InvalidBox, InvalidLandmarks) as error:
        text = str(error)
        hold(text.isprintable() and 10 < len(text) < _LONGEST_SENTENCE, f"no such sentence: {text!r}")
        return
    hold(crop.shape == (size, size, 3) and crop.dtype == np.uint8, f"{name}: {crop.shape} {crop.dtype}")
    hold(crop.max() <= _GREY, f"{name}: brighter than the picture")
    _check_map(back, name=name, width=width, height=height, size=size)


def _check_map(back: NDArray[np.float32], *, name: str, width: int, height: int, size: int) -> None:
    hold(back.shape == (2, 3) and back.dtype == np.float32, f"{name}: a map {back.shape} {back.dtype}")
    hold(bool(np.isfinite(back).all()), f"{name}: the map is not finite")
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], dtype=np.float64)
    in_photo = transform(corners, back)
    there_again = transform(in_photo, invert(back))
    hold(bool(np.isfinite(there_again).all()), f"{name}: the map has no inverse")
    # A photo's place is a float32: its last digit, in pixels of the crop.
    zoom = np.abs(invert(back)[:, :2]).sum()
    allowed = 1e-3 * size + 1e-5 * zoom * (np.abs(in_photo).max() + max(width, height))
    off = np.abs(there_again - corners).max()
    hold(
        off <= allowed,
        f"{name}: a corner comes back {off:.3f} pixels of the crop away, {allowed:.3f} allowed",
    )


def _side(numbers: Numbers) -> int:
    choice = numbers.byte()
    return _LONG if choice == 255 else _SIDES[choice % len(_SIDES)]


def seeds() -> list[bytes]:
    """A face in the middle, at the edge, without eyes, without a box, without both; each of both types."""

    def place(value: float) -> bytes:
        return struct.pack("<BH", 0, round(value * 16))

    face = b"".join(map(place, (60, 60, 140, 140)))
    eyes = [(80, 90), (120, 92), (100, 110), (85, 125), (115, 126)]
    points = b"".join(place(x) + place(y) for x, y in eyes)
    unknown = struct.pack("<B", 224)
    start = bytes([5, 5])
    return [
        start + bytes([size, given | kind]) + body
        for size in (2, 4)
        for kind in (0, 4)
        for given, body in (
            (0, b""),
            (1, face),
            (2, points),
            (3, face + points),
            (3, face + unknown * 10),
            (3, unknown * 4 + points),
            (3, b"".join(map(place, (0, 150, 90, 250))) + points[:12] + unknown * 6),
        )
    ]


def mutate(data: bytes, most: int, numbers: random.Random, change: Change) -> bytes:
    """Bytes are numbers already; now and then one becomes a special one."""
    changed = bytearray(change(data, most))
    if changed and numbers.random() < 0.3:
        changed[numbers.randrange(len(changed))] = numbers.randrange(160, 256)
    return bytes(changed)


TARGET = Target(
    name="crop",
    about="runtime/image/align.py and box_crop.py: boxes and landmarks of any floats",
    run=run,
    seeds=seeds,
    mutate=mutate,
    minutes=5,
    max_bytes=160,
)
