"""Masks on their way out: what lies outside the photo is told apart, and ids become small bytes."""

import json

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

# The id of a pixel of the crop that shows nothing of the photo. Class 0, the background, is something seen.
OUTSIDE = 255


def padded(ids: NDArray[np.uint8], *, crop_to_photo: ArrayLike, photo_size: ArrayLike) -> NDArray[np.uint8]:
    """Class ids [H, W] of a crop, with `OUTSIDE` where the middle of a pixel lies outside the photo.

    `crop_to_photo` [2, 3] maps the crop's pixels to the photo's, `photo_size` is its width and height.
    """
    height, width = ids.shape
    columns, rows = np.arange(width), np.arange(height)[:, None]
    inside = np.ones((height, width), dtype=bool)
    # A pixel's number is its middle; the first one begins at -0.5.
    for (across, down, shift), size in zip(
        np.asarray(crop_to_photo, dtype=np.float64), np.asarray(photo_size), strict=True
    ):
        place = across * columns + down * rows + shift
        inside &= (place >= -0.5 - _SLACK) & (place <= size - 0.5 + _SLACK)
    return np.where(inside, ids, np.uint8(OUTSIDE))


# A map in fp32 is no more exact than this, in pixels: the edges of a whole picture are inside.
_SLACK = 0.01


def as_png(ids: NDArray[np.uint8]) -> bytes:
    """Class ids [H, W] as a PNG of 8-bit grey."""
    written, data = cv2.imencode(".png", ids)
    if not written:
        raise ValueError(f"a mask of shape {list(ids.shape)} can't be written as PNG")
    return data.tobytes()


def as_runs(ids: NDArray[np.uint8]) -> str:
    """Class ids [H, W] as JSON, row by row: {"size": [H, W], "counts": [[id, length], ...]}."""
    flat = ids.reshape(-1)
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] ^ 1))
    lengths = np.diff(starts, append=flat.size)
    counts = np.stack([flat[starts], lengths], axis=1).tolist()
    return json.dumps({"size": list(ids.shape), "counts": counts}, separators=(",", ":"))
