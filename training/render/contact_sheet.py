"""A contact sheet: pictures with their labels drawn in, for people to check."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.pose import rotation_from_angles
from training.data.labels import UNKNOWN
from training.render.drawing.picture import Picture
from training.tasks import CATALOGUE

Pixels = NDArray[np.uint8]

_RED, _GREEN, _BLUE, _WHITE = (255, 60, 60), (60, 255, 60), (80, 120, 255), (255, 255, 255)


def annotated(picture: Picture) -> Pixels:
    """The picture [H, 2 W, 3], and beside it classes, the 68 points, visibility and the head's axes.

    A ring is white around a point that is visible and red around one that is not. The axes are the
    head's left (red), down (green) and where the face looks (blue).
    """
    classes = len(CATALOGUE["parsing"].labels)
    hues = np.zeros((256, 1, 3), np.uint8)
    hues[:classes, 0, 0] = np.arange(classes) * 180 // classes * 7 % 180
    hues[..., 1:] = 220
    colours = cv2.cvtColor(hues, cv2.COLOR_HSV2RGB)[:, 0]
    shown = picture.mask[..., None] != 0
    marked = np.where(shown, picture.pixels // 2 + colours[picture.mask] // 2, picture.pixels)
    marked[picture.mask == UNKNOWN] //= 3
    marked = np.ascontiguousarray(marked)
    reach = np.ptp(picture.landmarks, axis=0).max() / 2
    for x, y in picture.landmarks:
        cv2.circle(marked, _whole((x, y)), 1, _GREEN, -1)
    aligned = CATALOGUE["visibility"].aligned_labels or {}
    for label, value in picture.labels["visibility"].items():
        if (point := aligned[label]) is not None:
            cv2.circle(marked, _whole(picture.landmarks[point]), 4, _WHITE if value else _RED, 1)
    axes = rotation_from_angles(picture.labels["head_pose"])
    nose = picture.landmarks[30]
    for axis, colour in ((axes[:, 0], _RED), (axes[:, 1], _GREEN), (-axes[:, 2], _BLUE)):
        cv2.line(marked, _whole(nose), _whole(nose + axis[:2] * reach), colour, 2)
    return np.concatenate([picture.pixels, marked], axis=1)


def contact_sheet(tiles: list[Pixels], *, columns: int) -> Pixels:
    """Tiles of different sizes side by side on black."""
    height, width = max(t.shape[0] for t in tiles), max(t.shape[1] for t in tiles)
    rows = -(-len(tiles) // columns)
    whole = np.zeros((rows * height, columns * width, 3), np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * height, i % columns * width
        whole[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return whole


def _whole(point: ArrayLike) -> tuple[int, int]:
    x, y = np.rint(np.asarray(point)).astype(int).tolist()
    return x, y
