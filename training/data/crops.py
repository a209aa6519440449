"""The labelled face of a picture: its detection, its crop, and its labels in the crop.

The crop is a server's (runtime.image.crops) with a margin around it; labels are transformed by the same
affine map.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.contract import ALIGNED
from runtime.detect.faces import Detections
from runtime.image.align import Affine, invert, photo_to_crop, warp
from runtime.image.crops import crop_of
from training.data.labels import UNKNOWN
from training.data.sample import Sample
from training.kinds import kind_of
from training.kinds.points import five_points
from training.tasks import CATALOGUE

# A detection matches known landmarks when its points lie this near, in units of the face's scale; the
# detector's own error is about a tenth.
_MATCH_DISTANCE = 0.5


def labelled_five_points(sample: Sample) -> NDArray[np.float64] | None:
    """The five landmarks [5, 2] that the set gives or that follow from its points; None without eyes."""
    five = sample.landmarks
    if five is None:
        known = (CATALOGUE[name] for name in sample.labels if name in CATALOGUE)
        task = next((task for task in known if task.alignment_points), None)
        five = None if task is None else five_points(task, sample.labels[task.name])
    if five is None or not np.isfinite(np.asarray(five, np.float64)[:2]).all():
        return None
    return np.asarray(five, np.float64)


def select_face(
    detections: Detections,
    *,
    width: int,
    height: int,
    box: ArrayLike | None = None,
    five: NDArray[np.float64] | None = None,
    anywhere: bool = False,
) -> int | None:
    """The index of the labelled face among the detections, or None.

    With known landmarks `five` it is the detection with landmarks at the same places, else the one whose
    centre lies in `box` and which overlaps it most, else the largest that covers the picture's centre, or
    with `anywhere` the largest of all.
    """
    if not len(detections):
        return None
    boxes = detections.boxes.astype(np.float64)
    points = detections.landmarks.astype(np.float64)
    if five is not None:
        scale = _scale(five)
        offsets = np.linalg.norm(_eyes_and_mouth(points) - _eyes_and_mouth(five[None]), axis=2)
        distance = np.nanmean(offsets, axis=1)
        nearest = int(distance.argmin())
        return nearest if distance[nearest] < _MATCH_DISTANCE * scale else None
    if box is None:
        low, high = boxes[:, :2], boxes[:, 2:]
        middle = np.array([width / 2, height / 2])
        candidates = ((low <= middle) & (middle <= high)).all(axis=1) | anywhere
        score = (high - low).prod(axis=1)
    else:
        labelled = np.asarray(box, np.float64)
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        candidates = ((labelled[:2] <= middles) & (middles <= labelled[2:])).all(axis=1)
        intersection = np.minimum(boxes[:, 2:], labelled[2:]) - np.maximum(boxes[:, :2], labelled[:2])
        overlap = np.maximum(intersection, 0).prod(axis=1)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (labelled[2:] - labelled[:2]).prod()
        score = overlap / (areas - overlap)
    return int(np.where(candidates, score, -1).argmax()) if candidates.any() else None


def crop_with_margin(
    image: NDArray[np.uint8], landmarks: ArrayLike, *, size: int, margin: int
) -> tuple[NDArray[np.uint8], Affine]:
    """The stored crop [size + 2 margin] squared, and the map [2, 3] from the picture's pixels to its own.

    Raises InvalidLandmarks for landmarks outside the picture or in one point.
    """
    height, width = image.shape[:2]
    forward = photo_to_crop(width=width, height=height, landmarks=landmarks, size=size)
    forward[:, 2] += margin
    return warp(image, forward, size=size + 2 * margin), forward


def stored_crop(
    image: NDArray[np.uint8],
    *,
    kind: str,
    box: ArrayLike | None,
    landmarks: ArrayLike | None,
    size: int,
    margin: int,
) -> tuple[NDArray[np.uint8], Affine]:
    """The same of a crop of this kind (runtime.image.crops), which may want the face's box.

    A crop that is not warped has its own pixels, as it is served, and around them a margin that is.
    """
    if kind == ALIGNED and landmarks is not None:
        return crop_with_margin(image, landmarks, size=size, margin=margin)
    inner, back = crop_of(kind)(image, box=box, landmarks=landmarks, size=size)
    forward = invert(back)
    forward[:, 2] += margin
    pixels = warp(image, forward, size=size + 2 * margin)
    pixels[margin : margin + size, margin : margin + size] = inner
    return pixels, forward


def transform_label(task: str, label: Any, forward: Affine) -> Any:
    """A checked label of the picture, in the crop that the map `forward` makes of it."""
    return kind_of(CATALOGUE[task]).in_crop(CATALOGUE[task], label, forward)


def transform_mask(mask: NDArray[np.uint8], forward: Affine, *, side: int) -> NDArray[np.uint8]:
    """Class ids [side, side] of a crop: in each pixel the class that takes most of it, UNKNOWN outside."""
    ids = np.unique(mask)
    ids = ids[ids != UNKNOWN]
    coverage = np.zeros((len(ids), side, side), np.uint8)
    for start in range(0, len(ids), 3):  # warped like a picture, three classes as its colours
        group = ids[start : start + 3]
        colours = np.zeros((*mask.shape, 3), np.uint8)
        for k, class_id in enumerate(group):
            colours[..., k][mask == class_id] = 255
        coverage[start : start + 3] = warp(colours, forward, size=side).transpose(2, 0, 1)[: len(group)]
    if not len(ids):
        return np.full((side, side), UNKNOWN, np.uint8)
    known = coverage.sum(axis=0, dtype=np.int32) >= 128
    return np.where(known, ids[coverage.argmax(axis=0)], UNKNOWN).astype(np.uint8)


def _eyes_and_mouth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eyes and the mouth's middle [..., 3, 2]: the detector knows no corners of the mouth."""
    mouth = points[..., 3:5, :].mean(axis=-2, keepdims=True)
    return np.concatenate([points[..., :2, :], mouth], axis=-2)


def _scale(five: NDArray[np.float64]) -> float:
    right, left, mouth = _eyes_and_mouth(five)
    down = mouth - (right + left) / 2
    return float(np.nanmax([np.hypot(*(left - right)), np.hypot(*down)]))
