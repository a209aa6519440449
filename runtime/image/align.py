"""From a face in a photo to the network's crop, and back.

The crop is upright and square. Rotation comes from the line through the eyes; place and size from
the eyes and the mouth; where landmarks are missing the box takes their part, and where both are
missing the whole picture is the crop.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.errors import InvalidBox, InvalidLandmarks
from runtime.image.photo import Photo, pixels_for, size_of
from runtime.image.resample import average

# The side of the crop in units of the face's scale (see `face_frame`). At 3.4 the eyes of a frontal
# face lie 0.29 of the crop apart; brow, chin, ears and the hair at the sides are inside.
CROP_SCALE = 3.4
# A frontal face's box (brow to chin, as the detector draws it) in the same units.
BOX_SCALE = 2.35

Affine = NDArray[np.float32]


def photo_to_crop(
    *, width: int, height: int, box: ArrayLike | None = None, landmarks: ArrayLike | None = None, size: int
) -> Affine:
    """The affine map [2, 3] from the photo's pixels to those of a `size` x `size` crop.

    `box` is (x0, y0, x1, y1) and `landmarks` [5, 2] (right eye, left eye, nose tip, right and left
    corner of the mouth), both in the photo's pixels; NaN means not known. Without eyes the crop is
    upright around the box; without a box too it is the whole picture, stretched to the square.

    Raises InvalidBox for a box that is infinite, empty or outside the picture, and InvalidLandmarks
    for landmarks that are infinite, too far outside or fall into one point.
    """
    corners = checked_box(box, width=width, height=height)
    points = checked_landmarks(landmarks, width=width, height=height)
    if points is not None:
        center, angle, scale = face_frame(points, corners)
        side = CROP_SCALE * scale
    elif corners is not None:
        x0, y0, x1, y1 = corners
        center = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        angle = 0.0
        side = CROP_SCALE / BOX_SCALE * max(x1 - x0, y1 - y0)
    else:
        # Pixel centres: the picture's edges go to the crop's edges.
        sx, sy = size / width, size / height
        return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2]], dtype=np.float32)
    # Of a face that the picture's edge cuts, the centre may lie a little outside, no more.
    outside = np.maximum(-center, center - [width, height]).max()
    if outside > side / 4:
        raise (InvalidBox if points is None else InvalidLandmarks)(
            f"the face at ({center[0]:.0f}, {center[1]:.0f}) lies outside the picture of {width}x{height} "
            "pixels: send the box and landmarks of this picture, after its EXIF rotation"
        )
    zoom = size / side
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.array([[cos, sin], [-sin, cos]])
    shift = (size - 1) / 2 - linear @ center
    return np.asarray(np.concatenate([linear, shift[:, None]], axis=1), dtype=np.float32)


def align_face(
    image: NDArray[np.uint8] | Photo,
    *,
    box: ArrayLike | None = None,
    landmarks: ArrayLike | None = None,
    size: int,
) -> tuple[NDArray[np.uint8], Affine]:
    """The crop [size, size, 3] uint8 of a photo (or its pixels [H, W, 3] uint8), and the map [2, 3] back."""
    width, height = size_of(image)
    forward = photo_to_crop(width=width, height=height, box=box, landmarks=landmarks, size=size)
    return warp(image, forward, size=size), invert(forward)


def warp(image: NDArray[np.uint8] | Photo, forward: ArrayLike, *, size: int) -> NDArray[np.uint8]:
    """The `size` x `size` picture that `forward` [2, 3] makes of `image`; black where there is no photo.

    Large reductions go through an area-averaged smaller picture first: a bilinear warp alone skips
    pixels there, and a large photo's face would look unlike the same face in a small one. A Photo is
    decoded only as finely as this picture shows it.
    """
    part, matrix = _shown_part(image, np.asarray(forward, dtype=np.float64), size=size)
    if part.size == 0:
        return np.zeros((size, size, 3), dtype=np.uint8)
    warped = cv2.warpAffine(
        part,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0),
    )
    return np.asarray(warped, dtype=np.uint8)


def invert(affine: ArrayLike) -> Affine:
    """The inverse of an affine map [2, 3]."""
    return np.asarray(cv2.invertAffineTransform(np.asarray(affine, dtype=np.float64)), dtype=np.float32)


def transform(points: ArrayLike, affine: ArrayLike) -> NDArray[np.float32]:
    """Points [..., 2] after an affine map [2, 3]."""
    matrix = np.asarray(affine, dtype=np.float64)
    moved = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(moved, dtype=np.float32)


def in_plane_degrees(affine: ArrayLike) -> NDArray[np.float64]:
    """By how many degrees, clockwise in the picture, affine maps [..., 2, 3] turn what they map."""
    matrix = np.asarray(affine, dtype=np.float64)
    return np.asarray(np.degrees(np.arctan2(matrix[..., 1, 0], matrix[..., 0, 0])))


def face_frame(
    points: NDArray[np.float64], corners: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], float, float]:
    """Centre (x, y), angle in radians and scale in pixels of a face.

    The scale is the larger of the distance between the eyes and the distance from the eyes to the
    mouth: of a face turned aside only the first shrinks, of one turned up or down only the second.
    """
    right_eye, left_eye = points[0], points[1]
    line = left_eye - right_eye
    angle = float(np.arctan2(line[1], line[0]))
    eyes = (right_eye + left_eye) / 2
    between_eyes = float(np.hypot(*line))
    mouth = points[3:5]
    mouth = mouth[~np.isnan(mouth).any(axis=1)]
    if len(mouth):
        mouth_center = mouth.mean(axis=0)
        scale = max(between_eyes, float(np.hypot(*(mouth_center - eyes))))
        center = (eyes + mouth_center) / 2
    else:
        down = np.array([-np.sin(angle), np.cos(angle)])
        scale = between_eyes
        if corners is not None:
            scale = max(scale, float(max(corners[2:] - corners[:2])) / BOX_SCALE)
        center = eyes + 0.5 * scale * down
    if scale < 1.0:
        raise InvalidLandmarks(
            f"the eyes and the mouth lie within {scale:.2f} pixels: "
            "send the landmarks of one face, in the photo's pixels"
        )
    return center, angle, scale


def checked_box(box: ArrayLike | None, *, width: int, height: int) -> NDArray[np.float64] | None:
    """A box [4] that can be of this picture, None where there is none; raises InvalidBox."""
    if box is None:
        return None
    corners = np.asarray(box, dtype=np.float64)
    if corners.shape != (4,):
        raise InvalidBox(f"the box has shape {corners.shape}: send x0, y0, x1, y1")
    if np.isnan(corners).all():
        return None
    shown = ", ".join(f"{value:g}" for value in corners)
    if not np.isfinite(corners).all():
        raise InvalidBox(
            f"the box ({shown}) is not finite: send x0, y0, x1, y1 in pixels, or NaN four times for none"
        )
    x0, y0, x1, y1 = corners
    if x1 - x0 < 1 or y1 - y0 < 1:
        raise InvalidBox(f"the box ({shown}) is empty: send x0 < x1 and y0 < y1 in pixels")
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise InvalidBox(f"the box ({shown}) lies outside the picture of {width}x{height} pixels")
    if x1 - x0 > 4 * width or y1 - y0 > 4 * height:
        raise InvalidBox(f"the box ({shown}) is far larger than the picture of {width}x{height} pixels")
    return corners


def checked_landmarks(landmarks: ArrayLike | None, *, width: int, height: int) -> NDArray[np.float64] | None:
    """Points [5, 2] that can be of this picture, None without both eyes; raises InvalidLandmarks."""
    if landmarks is None:
        return None
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (5, 2):
        raise InvalidLandmarks(f"the landmarks have shape {points.shape}: send five points (x, y)")
    if np.isinf(points).any():
        raise InvalidLandmarks("a landmark is infinite: send pixels, or NaN for a point that is not known")
    if np.isnan(points[:2]).any():
        return None
    known = points[~np.isnan(points).any(axis=1)]
    margin = 2 * max(width, height)
    if (known < -margin).any() or (known > margin + max(width, height)).any():
        raise InvalidLandmarks(f"a landmark lies far outside the picture of {width}x{height} pixels")
    return points


@dataclass(frozen=True, kw_only=True)
class Window:
    """The part of a picture that a crop shows: columns x0 to x1 and rows y0 to y1, without the last.

    `reduced` is the width and height to which the part is averaged down before it is warped: along an axis
    that shrinks to less than half, what the crop has of it, else the part's own.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    reduced: tuple[int, int]

    @property
    def empty(self) -> bool:
        """Whether the crop shows nothing of the picture."""
        return self.x0 == self.x1 or self.y0 == self.y1

    def from_picture(self) -> NDArray[np.float64]:
        """The map [3, 3] from the picture's pixels to those of the reduced part, in pixel centres."""
        sx = self.reduced[0] / max(1, self.x1 - self.x0)
        sy = self.reduced[1] / max(1, self.y1 - self.y0)
        return np.array([[sx, 0, sx * (0.5 - self.x0) - 0.5], [0, sy, sy * (0.5 - self.y0) - 0.5], [0, 0, 1]])


def shown_window(*, width: int, height: int, matrix: ArrayLike, size: int) -> Window:
    """What a `size` x `size` crop shows of a picture, from which `matrix` [2, 3] maps to the crop."""
    affine = np.asarray(matrix, dtype=np.float64)
    edges = np.array([[-1, -1], [size, -1], [size, size], [-1, size]], dtype=np.float64)
    corners = transform(edges, cv2.invertAffineTransform(affine))
    x0, y0 = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, [width, height])
    x1, y1 = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 3, [x0, y0], [width, height])
    zoom = np.linalg.norm(affine[:, :2], axis=0)
    factors = np.where(zoom < 0.5, zoom, 1.0)
    across, down = np.maximum(1, np.rint(factors * [x1 - x0, y1 - y0])).astype(int).tolist()
    return Window(x0=int(x0), y0=int(y0), x1=int(x1), y1=int(y1), reduced=(across, down))


def _shown_part(
    image: NDArray[np.uint8] | Photo, matrix: NDArray[np.float64], *, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The part of `image` that the crop shows, reduced where need be, and the map from it to the crop.

    What is left is small, so that a photo of any length can be warped: OpenCV's warp takes 32,766 pixels a
    side.
    """
    width, height = size_of(image)
    window = shown_window(width=width, height=height, matrix=matrix, size=size)
    decoded = pixels_for(image, zoom=float(np.linalg.norm(matrix[:, :2], axis=0).max()))
    if decoded.scale > 1 and not window.empty:
        around, place = decoded.around([[window.x0, window.y0], [window.x1, window.y1]])
        part = average(around, part=place, size=window.reduced)
    else:
        part = decoded.pixels[window.y0 : window.y1, window.x0 : window.x1]
        if part.size and part.shape[1::-1] != window.reduced:
            part = np.asarray(cv2.resize(part, window.reduced, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return part, matrix @ np.linalg.inv(window.from_picture())
