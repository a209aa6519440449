"""Prepared faces (training.prepare) as training batches: which picture, how it is disturbed, its labels."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.pose import rotation_from_angles
from training.prepare import MARGIN, SIZE
from training.tasks import CATALOGUE, Kind

Batch = dict[str, NDArray[np.generic]]
# A mirrored picture mirrors the rotation that it shows.
_MIRROR = np.diag([-1.0, 1.0, 1.0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training faces are disturbed: what photos, cameras and the detector's errors bring."""

    rotation: float = 10.0  # degrees, standard deviation 1/2 of this, cut at twice
    scale: float = 0.10  # relative
    shift: float = 0.05  # of the crop's side
    colour: float = 0.25  # brightness, contrast and saturation, relative
    grey: float = 0.15  # probability
    blur: float = 0.25  # probability of a blurred or low-resolution picture
    erase: float = 0.15  # probability of a covered patch
    surround: float = 0.6  # probability that a chip's black frame becomes another photo's surroundings


class FaceSet:
    """One prepared set, its training or its kept-out part."""

    def __init__(self, folder: pathlib.Path, *, test: bool) -> None:
        try:
            file = np.load(folder / "labels.npz")
            self.crops: NDArray[np.uint8] = np.load(folder / "crops.npy", mmap_mode="r")
        except FileNotFoundError as error:
            raise ValueError(
                f"{folder} is not a prepared set ({error.filename} is missing): run training.prepare"
            ) from None
        if self.crops.shape[1] != SIZE + 2 * MARGIN:
            raise ValueError(f"{folder} holds crops of another size: run training.prepare again")
        self.name = folder.name
        self.rows = np.flatnonzero(file["test"] == test)
        self.names = file["names"][self.rows]
        self.labels = {key: file[key][self.rows] for key in file.files if key not in ("names", "test")}

    def __len__(self) -> int:
        return len(self.rows)

    def plain(self, indices: Sequence[int] | NDArray[np.int_]) -> NDArray[np.uint8]:
        """The crops as the server would make them [N, S, S, 3]."""
        return np.stack([self.crops[self.rows[i]][MARGIN:-MARGIN, MARGIN:-MARGIN] for i in indices])


def targets_of(
    labels: Mapping[str, NDArray[np.float32]], *, mirrored: NDArray[np.bool_], turned: NDArray[np.float64]
) -> Batch:
    """Labels [N, ...] as the losses want them, after each picture was mirrored and then turned (degrees).

    `age` [N, 2] (lowest, highest), classes int64 [N] with -1 for none, multilabel [N, K] with NaN,
    rotations [N, 3, 3] with NaN.
    """
    targets: Batch = {}
    for key, values in labels.items():
        if key == "age_high":
            continue
        if key == "age_low":
            targets["age"] = np.stack([values, labels["age_high"]], axis=1)
            continue
        task = CATALOGUE[key]
        if task.kind in (Kind.POINTS, Kind.MASK):
            raise ValueError(
                f"task {key!r}: training does not move the labels of {task.kind} with the picture yet"
            )
        if task.kind is Kind.CLASSES:
            targets[key] = np.nan_to_num(values, nan=-1).astype(np.int64)
        elif task.kind is Kind.ROTATION:
            rotation = rotation_from_angles(values)
            rotation = np.where(mirrored[:, None, None], _MIRROR @ rotation @ _MIRROR, rotation)
            turn = rotation_from_angles(np.stack([0 * turned, 0 * turned, turned], axis=-1))
            targets[key] = (turn @ rotation).astype(np.float32)
        else:
            order = task.mirrored_order()
            targets[key] = np.where(mirrored[:, None], values[:, order], values) if task.mirror else values
    return targets


def training_batch(
    faces: FaceSet,
    *,
    count: int,
    seed: Sequence[int],
    augmentation: Augmentation,
    surroundings: FaceSet | None = None,
    executor: Executor,
) -> tuple[NDArray[np.uint8], Batch]:
    """`count` disturbed faces [count, S, S, 3] and their targets; the same for the same seed."""
    rng = np.random.default_rng(list(seed))
    indices = rng.integers(len(faces), size=count)
    mirrored = rng.random(count) < 0.5
    turned = np.clip(
        rng.normal(0, augmentation.rotation / 2, count), -2 * augmentation.rotation, 2 * augmentation.rotation
    )
    seeds = rng.integers(2**63, size=count)

    def picture(k: int) -> NDArray[np.uint8]:
        one = np.random.default_rng(seeds[k])
        crop = np.array(faces.crops[faces.rows[indices[k]]])
        if surroundings is not None and one.random() < augmentation.surround:
            other = surroundings.crops[surroundings.rows[one.integers(len(surroundings))]]
            empty = cv2.dilate((crop.max(axis=2) == 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            crop[empty] = other[empty]
        return disturb(
            crop, rng=one, mirrored=bool(mirrored[k]), turned=float(turned[k]), augmentation=augmentation
        )

    pixels = np.stack(list(executor.map(picture, range(count))))
    labels = {key: values[indices] for key, values in faces.labels.items()}
    return pixels, targets_of(labels, mirrored=mirrored, turned=turned)


def disturb(
    crop: NDArray[np.uint8],
    *,
    rng: np.random.Generator,
    mirrored: bool,
    turned: float,
    augmentation: Augmentation,
) -> NDArray[np.uint8]:
    """One augmented crop [S, S, 3] from a crop with margin."""
    side = crop.shape[0]
    scale = 1 + float(
        np.clip(rng.normal(0, augmentation.scale / 2), -2 * augmentation.scale, 2 * augmentation.scale)
    )
    shift = rng.normal(0, augmentation.shift / 2, 2) * SIZE
    # OpenCV's positive angles turn counter-clockwise.
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), -turned, scale)
    if mirrored:
        matrix = matrix @ np.array([[-1, 0, side - 1], [0, 1, 0], [0, 0, 1.0]])
    matrix[:, 2] += shift - MARGIN
    picture = cv2.warpAffine(crop, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    if rng.random() < augmentation.blur:
        if rng.random() < 0.5:
            small = max(12, int(SIZE * rng.uniform(0.25, 0.7)))
            picture = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
            picture = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        elif rng.random() < 0.5:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 1.8))
        else:
            _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))])
            picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    colours = picture.astype(np.float32)
    if rng.random() < augmentation.grey:
        colours[:] = colours.mean(axis=2, keepdims=True)
    saturation, contrast, brightness = 1 + rng.uniform(-1, 1, 3) * augmentation.colour
    colours += (colours - colours.mean(axis=2, keepdims=True)) * (saturation - 1)
    colours = (colours - 128) * contrast + 128 * brightness
    colours *= 1 + rng.uniform(-1, 1, 3).astype(np.float32) * augmentation.colour * 0.2
    if rng.random() < augmentation.erase:
        height, width = rng.integers(SIZE // 8, SIZE // 3, 2)
        y, x = rng.integers(SIZE - height), rng.integers(SIZE - width)
        colours[y : y + height, x : x + width] = rng.uniform(0, 255, 3)
    return np.clip(colours, 0, 255).astype(np.uint8)
