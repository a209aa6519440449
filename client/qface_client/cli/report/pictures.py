"""Small pictures of a photo and its faces for a report, and hashes by which near copies are found.

They are made of pixels alone: nothing of the photo's metadata, such as where it was taken, is in them.
"""

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from ..._exchange.unreadable import DAMAGE
from ..._photos.pillow import pixels_of
from ...errors import InvalidInput
from ...kinds.base import Box

THUMBNAIL_SIDE = 320  # pixels of a photo's longer side
CROP_SIDE = 96  # pixels of a face's crop
_CROP_MARGIN = 0.2  # of the box's longer side, around it
_HASH_SIDE = 8  # a hash has this squared bits for rows, and as many for columns
_FLAT = 2.0  # grey levels: a picture whose grey varies less looks like any other of one colour

HASH_BITS = 2 * _HASH_SIDE**2


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallPictures:
    """What a report shows of a photo. Pictures are encoded; a hash is None for a picture of one colour."""

    thumbnail: bytes
    photo_hash: int | None
    crops: Sequence[bytes]  # in the order of the boxes
    face_hashes: Sequence[int | None]


def small_pictures(
    photo: str | bytes, *, name: str, size: tuple[int, int], boxes: Sequence[Box]
) -> SmallPictures:
    """The thumbnail of a photo and the crops of some of its faces; InvalidInput where it can't be decoded.

    `size`: of the photo as it was answered, upright, in pixels; `boxes` in these pixels. Thread-safe.
    """
    try:
        with Image.open(io.BytesIO(photo) if isinstance(photo, bytes) else photo) as opened:
            if sorted(opened.size) != sorted(size):
                raise InvalidInput("it has another size by now")
            share = _needed_share(size, boxes)
            opened.draft("RGB", (round(opened.width * share), round(opened.height * share)))
            upright = Image.fromarray(pixels_of(opened))
        return _small(upright, scale=upright.width / size[0], boxes=boxes)
    except (OSError, SyntaxError, InvalidInput, Image.DecompressionBombError, *DAMAGE) as error:
        raise InvalidInput(f"was answered, but can't be shown: {error}", file=name) from error


def _small(upright: Image.Image, *, scale: float, boxes: Sequence[Box]) -> SmallPictures:
    """`scale`: of the decoded photo to the one that the boxes are of."""
    thumbnail = upright.copy()
    thumbnail.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    crops, hashes = [], []
    for box in boxes:
        square = _square(box, scale=scale, photo=upright.size)
        crop = upright.crop(square).resize((CROP_SIDE, CROP_SIDE), Image.Resampling.LANCZOS)
        crops.append(_encoded(crop, quality=72))
        hashes.append(_hash(crop))
    return SmallPictures(
        thumbnail=_encoded(thumbnail, quality=62),
        photo_hash=_hash(thumbnail),
        crops=crops,
        face_hashes=hashes,
    )


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the thumbnail of a photo of this size."""
    scale = min(1.0, THUMBNAIL_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def media_type(picture: bytes) -> str:
    """Of a picture that `small_pictures` encoded."""
    return "image/webp" if picture.startswith(b"RIFF") else "image/jpeg"


def _needed_share(size: tuple[int, int], boxes: Sequence[Box]) -> float:
    """The share of its size at which a photo is decoded, so that nothing that is shown is enlarged."""
    sides = [max(1.0, x1 - x0, y1 - y0) * (1 + 2 * _CROP_MARGIN) for x0, y0, x1, y1 in boxes]
    return min(1.0, max(THUMBNAIL_SIDE / max(size), *(CROP_SIDE / side for side in sides), 0.0))


def _square(box: Box, *, scale: float, photo: tuple[int, int]) -> tuple[int, int, int, int]:
    """A square around a box, in pixels of the decoded photo, moved into it where it fits."""
    x0, y0, x1, y1 = (edge * scale for edge in box)
    # No larger than what a face that fills the photo needs, whatever a server answers.
    side = max(4, round(min(max(x1 - x0, y1 - y0), max(photo)) * (1 + 2 * _CROP_MARGIN)))
    starts = [
        round(min(max(0.0, middle - side / 2), max(0.0, whole - side)))
        for middle, whole in zip(((x0 + x1) / 2, (y0 + y1) / 2), photo, strict=True)
    ]
    return starts[0], starts[1], starts[0] + side, starts[1] + side


def _encoded(picture: Image.Image, *, quality: int) -> bytes:
    data = io.BytesIO()
    if features.check("webp"):
        picture.save(data, "WEBP", quality=quality, method=4)
    else:
        picture.save(data, "JPEG", quality=quality, optimize=True)
    return data.getvalue()


def _hash(picture: Image.Image) -> int | None:
    """Whether each place of a coarse grid is brighter than its neighbour (dHash), by rows and by columns."""
    grey = picture.convert("L")
    across = _coarse(grey, (_HASH_SIDE + 1, _HASH_SIDE))
    down = _coarse(grey, (_HASH_SIDE, _HASH_SIDE + 1))
    if across.std() < _FLAT:
        return None
    bits = np.concatenate([(across[:, 1:] > across[:, :-1]).ravel(), (down[1:] > down[:-1]).ravel()])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _coarse(grey: Image.Image, size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(grey.resize(size, Image.Resampling.BOX), np.float32)
