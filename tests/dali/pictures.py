"""The pictures of `make check-dali`: of every size, storage and kind, each with the place of its face."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runtime.image.align import transform
from tests.helpers.encoded_pictures import STORED_AS, encode, with_alpha
from tests.helpers.requests import BOX, LANDMARKS, NO_BOX, NO_LANDMARKS, astronaut

GRAIN = 4.0  # grey levels of noise, so that a large picture has something in every pixel
QUALITY = 92


@dataclass(frozen=True, kw_only=True)
class Case:
    """An encoded picture and where its face is; NaN: not known."""

    name: str
    data: bytes
    for_dali: bool  # else face_preprocess decodes it
    shows_face: bool = True  # upright and whole, as the network learned it: only then are its answers held
    box: NDArray[np.float32] = field(default_factory=lambda: NO_BOX)
    landmarks: NDArray[np.float32] = field(default_factory=lambda: NO_LANDMARKS)


def cases() -> Iterator[Case]:
    """All of them."""
    for width, height in ((512, 512), (800, 600), (1920, 1080), (4000, 3000)):
        photo, scale, shift = portrait(width, height)
        data = encode(photo, "JPEG", quality=QUALITY)
        box, landmarks = placed(BOX, scale, shift), placed(LANDMARKS, scale, shift)
        size = f"{width} x {height}"
        yield Case(name=f"{size}, landmarks", data=data, for_dali=True, landmarks=landmarks)
        yield Case(name=f"{size}, box", data=data, for_dali=True, box=box)
        yield Case(name=f"{size}, whole picture", data=data, for_dali=True, shows_face=False)
        tilted, landmarks = turned(photo, landmarks, 40)
        data = encode(tilted, "JPEG", quality=QUALITY)
        yield Case(name=f"{size}, turned by 40 degrees", data=data, for_dali=True, landmarks=landmarks)
    yield from stored_in_every_way()
    yield from of_every_kind()


def stored_in_every_way() -> Iterator[Case]:
    """The eight Exif orientations, and the ways of a JPEG."""
    photo, scale, shift = portrait(900, 640)
    landmarks = placed(LANDMARKS, scale, shift)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = photo.transpose(STORED_AS[orientation]) if orientation in STORED_AS else photo
        data = encode(stored, "JPEG", quality=QUALITY, exif=exif)
        yield Case(name=f"Exif orientation {orientation}", data=data, for_dali=True, landmarks=landmarks)
    ways: dict[str, dict[str, Any]] = {
        "colour at full resolution (4:4:4)": {"subsampling": 0},
        "colour at half the width (4:2:2)": {"subsampling": 1},
        "progressive": {"progressive": True},
        "quality 30": {"quality": 30},
        "restart markers": {"restart_marker_rows": 1},
    }
    for name, options in ways.items():
        data = encode(photo, "JPEG", **{"quality": QUALITY, **options})
        yield Case(name=name, data=data, for_dali=True, landmarks=landmarks)
    grey = encode(photo.convert("L"), "JPEG", quality=QUALITY)
    yield Case(name="grey JPEG", data=grey, for_dali=True, landmarks=landmarks)
    data = encode(photo, "JPEG", quality=QUALITY)
    cut = np.array([-90, -60, 120, 150], np.float32)
    yield Case(name="cut by the picture's edge", data=data, for_dali=True, box=cut, shows_face=False)
    tiny = np.array([0, 0, 9, 9], np.float32)
    yield Case(name="a box of 9 pixels", data=data, for_dali=True, box=tiny, shows_face=False)


def of_every_kind() -> Iterator[Case]:
    """What another decoder than our own is not trusted with."""
    photo, scale, shift = portrait(900, 640)
    landmarks = placed(LANDMARKS, scale, shift)
    deep = np.asarray(photo.convert("L")).astype(np.uint16) * 257
    deep_color = cv2.imencode(".png", np.asarray(photo)[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    kinds = {
        "CMYK JPEG": encode(photo.convert("CMYK"), "JPEG", quality=QUALITY),
        "RGB JPEG": encode(photo, "JPEG", quality=QUALITY, keep_rgb=True),
        "PNG": encode(photo, "PNG"),
        "transparent PNG": encode(with_alpha(photo), "PNG"),
        "palette PNG": encode(photo.quantize(64), "PNG"),
        "PNG of 16 bits, grey": encode(Image.fromarray(deep), "PNG"),
        "PNG of 16 bits, colour": deep_color,
        "WebP": encode(photo, "WEBP", quality=QUALITY),
        "PPM": encode(photo, "PPM"),
    }
    for name, data in kinds.items():
        yield Case(name=name, data=data, for_dali=False, landmarks=landmarks)


def damaged() -> bytes:
    """A JPEG whose container is whole and whose compressed data is not."""
    photo, _, _ = portrait(900, 640)
    data = encode(photo, "JPEG", quality=QUALITY)
    middle = len(data) // 2
    return data[:middle] + bytes(3000) + data[middle + 3000 :]


def without_tables() -> bytes:
    """A JPEG that no decoder can decode, and of which a look at its structure shows nothing."""
    photo, _, _ = portrait(900, 640)
    data = encode(photo, "JPEG", quality=QUALITY)
    while (at := data.find(b"\xff\xdb")) >= 0:
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    return data


def portrait(width: int, height: int) -> tuple[Image.Image, float, tuple[float, float]]:
    """The astronaut in a photo of this size, and how its places get there: times a scale, plus a shift."""
    scale = min(width, height) / 512
    side = round(512 * scale)
    face = cv2.resize(
        astronaut(), (side, side), interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    )
    left, top = (width - side) // 2, (height - side) // 2
    photo = cv2.copyMakeBorder(
        face, top, height - side - top, left, width - side - left, borderType=cv2.BORDER_REFLECT
    )
    grain = np.random.default_rng(0).normal(0, GRAIN, photo.shape)
    return Image.fromarray(np.clip(photo + grain, 0, 255).astype(np.uint8)), scale, (left, top)


def placed(points: NDArray[np.float32], scale: float, shift: tuple[float, float]) -> NDArray[np.float32]:
    """Places of the astronaut in the photo that `portrait` made."""
    moved = points.reshape(-1, 2) * scale + np.array(shift, np.float32)
    return moved.reshape(points.shape).astype(np.float32)


def turned(
    photo: Image.Image, points: NDArray[np.float32], degrees: float
) -> tuple[Image.Image, NDArray[np.float32]]:
    """A photo turned around the middle of these points, and the points in it."""
    x, y = points.mean(axis=0).tolist()
    matrix = cv2.getRotationMatrix2D((x, y), -degrees, 1.0)
    pixels = cv2.warpAffine(np.asarray(photo), matrix, photo.size, flags=cv2.INTER_CUBIC)
    return Image.fromarray(pixels), transform(points, matrix)
