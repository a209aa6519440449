"""How a face is cut out of its photo: the kinds of crop that a contract may name."""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.contract import ALIGNED
from runtime.errors import InvalidLandmarks
from runtime.image.align import Affine, align_face
from runtime.image.box_crop import crop_box
from runtime.image.photo import Photo


class Crop(Protocol):
    """A photo (or its pixels [H, W, 3]), and where its face is -> the crop [size, size, 3], the map back."""

    def __call__(
        self,
        image: NDArray[np.uint8] | Photo,
        *,
        box: ArrayLike | None = None,
        landmarks: ArrayLike | None = None,
        size: int,
    ) -> tuple[NDArray[np.uint8], Affine]: ...


# Upright by eyes and mouth; or the box, grown by a quarter of each side and stretched to a square, as
# FaceXFormer does it.
CROPS: dict[str, Crop] = {ALIGNED: align_face, "box": crop_box}


def crop_of(name: str) -> Crop:
    """The crop of this name, as a contract gives it; ValueError names the known ones."""
    if name not in CROPS:
        raise ValueError(f"unknown kind of crop {name!r}: known are {', '.join(CROPS)}")
    return CROPS[name]


# A photo is decoded at once with so many crops' sides along its longer side, if it has them: faces from a
# ninth of that side on, of 12 megapixels from a thirteenth on, need no more.
_SIDES = 12


def decode_for_crops(photo: Photo, *, size: int) -> None:
    """Decodes as much of a photo as a search for faces and most crops of this size need.

    Each further decoding would cost as much.
    """
    photo.reduced(longer=_SIDES * size)


def crops_of(
    photo: Photo, *, boxes: NDArray[np.float32], landmarks: NDArray[np.float32], crop: Crop, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The crops [N, size, size, 3] of faces that were found, and the maps [N, 2, 3] back to the photo.

    boxes [N, 4] and landmarks [N, 5, 2] in the photo's pixels.
    """
    pixels = np.empty((len(boxes), size, size, 3), dtype=np.uint8)
    maps = np.empty((len(boxes), 2, 3), dtype=np.float32)
    # The smallest face first: what is decoded for it is fine enough for the others.
    for face in np.argsort((boxes[:, 2:] - boxes[:, :2]).max(axis=1)):
        try:
            pixels[face], maps[face] = crop(photo, box=boxes[face], landmarks=landmarks[face], size=size)
        except InvalidLandmarks:  # a tiny face whose points fall together: its box still shows where it is
            pixels[face], maps[face] = crop(photo, box=boxes[face], size=size)
    return pixels, maps
