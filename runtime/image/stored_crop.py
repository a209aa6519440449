"""A crop cut from a picture as it is stored, for a decoder that knows nothing of faces and of Exif.

Such a decoder takes numbers alone: which part to decode, to which sizes to reduce it, and the map by which to
warp it. They give the crop that `runtime.image.align` cuts out of the upright picture, within the
difference between two resampling filters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.image.align import shown_window
from runtime.image.containers import Picture

WINDOW_ROWS = 5


@dataclass(frozen=True, kw_only=True)
class StoredCrop:
    """What to do with the stored pixels.

    `window` [5, 2] int32, each row as (rows, columns): where the part begins, its size, twice the reduced
    size (at most the part's), the reduced size, and the crop's size. `matrix` [2, 3] float32 maps a place
    (x, y) in the crop to one in the reduced part; places are those of pixels' edges: the first pixel's centre
    is at (0.5, 0.5).
    """

    window: NDArray[np.int32]
    matrix: NDArray[np.float32]


def stored_crop(picture: Picture, forward: ArrayLike, *, size: int) -> StoredCrop | None:
    """The crop that `forward` [2, 3] maps the upright picture to; None where it shows nothing of it.

    Reduction is in two steps, with a filter as narrow as possible to twice the size and to half of that by
    the mean of two pixels: together about the average over each pixel's area.
    """
    to_crop = np.asarray(forward, dtype=np.float64) @ upright_map(picture)
    window = shown_window(width=picture.width, height=picture.height, matrix=to_crop, size=size)
    if window.empty:
        return None
    part = (window.y1 - window.y0, window.x1 - window.x0)
    reduced = window.reduced[::-1]
    doubled = np.minimum(2 * np.array(reduced), part)
    from_crop = window.from_picture() @ np.linalg.inv(np.vstack([to_crop, [0, 0, 1]]))
    return StoredCrop(
        window=np.array([(window.y0, window.x0), part, doubled, reduced, (size, size)], dtype=np.int32),
        matrix=(_moved(0.5) @ from_crop @ _moved(-0.5))[:2].astype(np.float32),
    )


def upright_map(picture: Picture) -> NDArray[np.float64]:
    """The map [3, 3] from the pixels as stored to those after the Exif orientation, in pixel centres."""
    orientation, width, height = picture.orientation, picture.width, picture.height
    turned = np.eye(3)
    if orientation >= 5:
        turned[:2] = [[0, 1, 0], [1, 0, 0]]
        width, height = height, width
    if orientation in (2, 3, 6, 7):
        turned[0] = [0, 0, width - 1] - turned[0]
    if orientation in (3, 4, 7, 8):
        turned[1] = [0, 0, height - 1] - turned[1]
    return turned


def _moved(by: float) -> NDArray[np.float64]:
    return np.array([[1, 0, by], [0, 1, by], [0, 0, 1]])
