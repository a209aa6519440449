"""How a face is cut out of its photo: the kinds of crop that a contract may name."""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.contract import ALIGNED
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
