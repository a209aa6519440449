"""A face cut out by its box, as FaceXFormer was taught to see it, and the map back to the photo.

The box grows by a quarter of its width and of its height on each side, ends at the picture's edges and
loses its fractions; what it then holds is resized to a square, whatever its shape. Sampling is Pillow's
bicubic (a = -0.5, wider where the picture shrinks), which the network learned from; OpenCV's own is
sharper and skips pixels when it shrinks.
"""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.errors import InvalidLandmarks
from runtime.image.align import BOX_SCALE, Affine, checked_box, checked_landmarks, face_frame
from runtime.image.photo import Photo, pixels_for, size_of
from runtime.image.resample import resample

GROWTH = 0.25  # of the box's side, on each side
_REACH = 2.0  # of the bicubic kernel, in pixels of the coarser picture
# Beyond this shrinking an area average comes first, as a kernel over so many pixels costs too much.
_LARGEST_SHRINK = 4.0


def crop_box(
    image: NDArray[np.uint8] | Photo,
    *,
    box: ArrayLike | None = None,
    landmarks: ArrayLike | None = None,
    size: int,
) -> tuple[NDArray[np.uint8], Affine]:
    """The crop [size, size, 3] uint8 of a photo (or its pixels [H, W, 3] uint8), and the map [2, 3] back.

    `box` and `landmarks` are as `runtime.image.align.photo_to_crop` takes them. Without a box its place is
    taken by one around the face that the landmarks show, of the size that the detector gives such a face;
    without both the whole picture is the crop. Raises what `photo_to_crop` raises.
    """
    width, height = size_of(image)
    x0, y0, x1, y1 = shown_part(width=width, height=height, box=box, landmarks=landmarks)
    sx, sy = (x1 - x0) / size, (y1 - y0) / size
    # Pixel centres: the part's edges go to the crop's edges.
    back = np.array([[sx, 0, x0 + (sx - 1) / 2], [0, sy, y0 + (sy - 1) / 2]], dtype=np.float32)
    reduced = pixels_for(image, zoom=1 / min(sx, sy))
    part = reduced.place([[x0, y0], [x1, y1]])
    return resize_bicubic(reduced.pixels, part=part, size=size), back


def shown_part(
    *, width: int, height: int, box: ArrayLike | None = None, landmarks: ArrayLike | None = None
) -> tuple[int, int, int, int]:
    """The part x0, y0, x1, y1 of a photo that the crop shows, in whole pixels: at least one, all inside."""
    corners = checked_box(box, width=width, height=height)
    points = checked_landmarks(landmarks, width=width, height=height)
    if corners is None and points is not None:
        center, _, scale = face_frame(points, None)
        side = BOX_SCALE * scale
        corners = np.concatenate([center - side / 2, center + side / 2])
        if (corners[2:] <= 0).any() or (corners[:2] >= [width, height]).any():
            raise InvalidLandmarks(
                f"the face at ({center[0]:.0f}, {center[1]:.0f}) lies outside the picture of "
                f"{width}x{height} pixels: send the landmarks of this picture, after its EXIF rotation"
            )
    if corners is None:
        return 0, 0, width, height
    x0, y0, x1, y1 = corners
    more_x, more_y = GROWTH * (x1 - x0), GROWTH * (y1 - y0)
    left, top = int(max(0, x0 - more_x)), int(max(0, y0 - more_y))
    right, bottom = int(min(width, x1 + more_x)), int(min(height, y1 + more_y))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def resize_bicubic(
    image: NDArray[np.uint8], *, part: ArrayLike | None = None, size: int
) -> NDArray[np.uint8]:
    """A part of a picture [h, w, 3] uint8 as [size, size, 3], within a grey level or two of Pillow's answer.

    `part` [2, 2] is its first and last corner, x and y, measured from the picture's edges; they may lie
    within pixels. Without it the whole picture is resized.
    """
    edges = np.array([[0, 0], image.shape[1::-1]]) if part is None else np.asarray(part)
    (left, top), (right, bottom) = np.floor(edges[0]).astype(int), np.ceil(edges[1]).astype(int)
    image = image[top:bottom, left:right]
    start, extent = edges[0] - (left, top), edges[1] - edges[0]
    sides = np.array([right - left, bottom - top])
    factors = np.maximum(1, sides / size // (_LARGEST_SHRINK / 2))
    if (factors > 1).any():
        reduced = np.rint(sides / factors).astype(int)
        image = np.asarray(cv2.resize(image, reduced.tolist(), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        start, extent = start * reduced / sides, extent * reduced / sides
    return resample(
        image,
        part=[start, start + extent],
        size=(size, size),
        kernel=lambda away, step: _bicubic(np.abs(away) / max(step, 1.0)),
        reach=lambda step: _REACH * max(step, 1.0),
    )


def _bicubic(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys's kernel (1981) with a = -0.5 at distances >= 0."""
    near = (1.5 * away - 2.5) * away * away + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    return np.where(away < 1, near, np.where(away < 2, far, 0.0))
