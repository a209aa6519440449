"""Faces whose place is known, and crops, row by row -> the engine's pixels and the maps back."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from runtime.answering.batches import Answer
from runtime.errors import InvalidImage, InvalidInput
from runtime.image.align import Affine
from runtime.image.crops import Crop
from runtime.image.decode import MAX_PIXELS
from runtime.image.photo import Photo

# A crop's pixels, the map back to its photo, and the photo's height and width.
Cut = tuple[NDArray[np.uint8], Affine, tuple[int, ...]]
T = TypeVar("T")

_UNMOVED: Affine = np.eye(2, 3, dtype=np.float32)


def cut_face(
    encoded: NDArray[np.uint8],
    *,
    box: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    crop: Crop,
    size: int,
) -> Cut:
    """The crop of one face of an encoded image [n]; NaN: no box, no landmarks."""
    photo = Photo(encoded)
    pixels, back = crop(photo, box=box, landmarks=landmarks, size=size)
    return pixels, back, (photo.height, photo.width)


def cut_faces(
    images: NDArray[np.uint8],
    *,
    boxes: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    crop: Crop,
    size: int,
) -> Answer:
    """What `joined` gives of encoded images [B, n], boxes [B, 4] and landmarks [B, 5, 2] (NaN: none)."""

    def cut(row: int) -> Cut:
        return cut_face(images[row], box=boxes[row], landmarks=landmarks[row], crop=crop, size=size)

    return joined(row_by_row(cut, rows=len(images)))


def fit_crops(crops: NDArray[np.uint8], *, crop: Crop, size: int) -> Answer:
    """What `joined` gives of crops [B, H, W, 3] as raw RGB, each resized as a whole.

    The photo is here the crop as it was sent.
    """
    if 0 in crops.shape:
        raise InvalidImage(
            f"the crop has the shape {list(crops.shape[1:])}, so no pixels: send height x width x 3"
        )
    height, width = crops.shape[1:3]
    if height * width > MAX_PIXELS:
        raise InvalidImage(
            f"the crop is {width:,} x {height:,} pixels, more than the {MAX_PIXELS:,} accepted: "
            "send a smaller one"
        )
    if height == width == size:  # as most are sent: every kind of crop leaves it as it is
        return joined([(pixels, _UNMOVED, (height, width)) for pixels in crops])
    return joined(row_by_row(lambda row: (*crop(crops[row], size=size), (height, width)), rows=len(crops)))


def row_by_row(function: Callable[[int], T], *, rows: int) -> list[T]:
    """What `function` returns for each row; of several rows, an error names its row."""
    results = []
    for row in range(rows):
        try:
            results.append(function(row))
        except InvalidInput as error:
            if rows == 1:
                raise
            raise type(error)(f"row {row} (of 0 to {rows - 1}): {error}") from None
    return results


def joined(faces: Sequence[Cut]) -> Answer:
    """`pixels` [B, S, S, 3] uint8 RGB, `crop_to_photo` [B, 2, 3] and `photo_size` [B, 2] of the rows."""
    return {
        "pixels": np.stack([pixels for pixels, _, _ in faces]),
        "crop_to_photo": np.stack([back for _, back, _ in faces]),
        "photo_size": np.array([shape[::-1] for _, _, shape in faces], dtype=np.int32),
    }
