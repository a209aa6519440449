"""Crops that show no face: of photos without one, and of a prepared crop's corners.

The worst are what the detector takes for a face. Few photos have such a place, so that they are looked at
also mirrored, turned and closely, with the lowest score that a request may ask for.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.detect.detector_engine import DetectorEngine
from runtime.detect.faces import find_faces
from runtime.detect.search import LOWEST_SCORE, Search
from runtime.errors import InvalidInput
from runtime.image.decode import decode_image
from training.data.crops import crop_with_margin
from training.data.prepared.face_set import FaceSet, read_manifest
from training.data.quality_set.degradations import Picture

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_MOST_FINDS = 12  # of one look at a photo, the surest
_CORNER = 0.3  # of a stored crop's side: eyes, nose and mouth of an aligned face lie outside


@dataclasses.dataclass(frozen=True, kw_only=True)
class Background:
    """A photo without a face."""

    name: str  # its path below the folder
    pixels: Picture  # [H, W, 3]
    finds: tuple[Picture, ...] = ()  # stored crops of what the detector takes for a face


def name_hash(name: str) -> float:
    """0..1 by a name alone: which part of a folder a photo belongs to, on every machine and in every run."""
    return int(hashlib.sha256(f"background/{name}".encode()).hexdigest()[:8], 16) / 2**32


def find_photos(folder: Path) -> list[str]:
    """The names of all photos below a folder, in a fixed order; ValueError where there is none."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise ValueError(f"there is no photo in {folder}: name a folder of photos without faces")
    return [path.relative_to(folder).as_posix() for path in paths]


def unseen_photos(names: Sequence[str], *, quality_set: Path) -> tuple[list[str], list[str]]:
    """The photos to choose a minimum by, and those to measure on: half each of what the set was not made of.

    A folder of which the set has nothing is none of its own: all its photos are left. ValueError for a
    folder that is no such set.
    """
    manifest = read_manifest(quality_set)
    share = float(manifest["options"]["background_share"])
    splits = [split for split, count in manifest["faces"].items() if count]
    made_of = {name for split in splits for name in FaceSet(quality_set, split=split).persons}
    learned = 0.0 if made_of.isdisjoint(names) else share
    middle = (1 + learned) / 2
    places = {name: name_hash(name) for name in names}
    choosing = [name for name, place in places.items() if learned <= place < middle]
    return choosing, [name for name, place in places.items() if place >= middle]


def read_backgrounds(
    folder: Path, names: Sequence[str], *, engine: DetectorEngine, size: int, margin: int
) -> Iterator[Background]:
    """These photos with what the detector finds in them; one that can't be read is passed over."""
    for name in names:
        try:
            pixels = decode_image((folder / name).read_bytes())
        except (OSError, InvalidInput):
            continue
        finds = [
            crop for look in _looks(pixels) for crop in _finds(look, engine=engine, size=size, margin=margin)
        ]
        yield Background(name=name, pixels=pixels, finds=tuple(finds))


def _looks(pixels: Picture) -> Iterator[Picture]:
    """The photo, mirrored, on its side, and the larger half of it."""
    height, width = pixels.shape[:2]
    yield pixels
    yield np.ascontiguousarray(pixels[:, ::-1])
    yield np.ascontiguousarray(np.rot90(pixels))
    part = pixels[height // 6 : height - height // 6, width // 6 : width - width // 6]
    if min(part.shape[:2]) >= 32:
        yield np.ascontiguousarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR))


def _finds(look: Picture, *, engine: DetectorEngine, size: int, margin: int) -> Iterator[Picture]:
    found = find_faces(look, engine.infer, search=Search(min_score=LOWEST_SCORE, max_faces=_MOST_FINDS))
    for landmarks in found.landmarks:
        try:
            yield crop_with_margin(look, landmarks, size=size, margin=margin)[0]
        except InvalidInput:
            continue


def place(pixels: Picture, *, rng: np.random.Generator, side: int) -> Picture:
    """A random square of a photo, at any size and turned by right angles, as [side, side, 3]."""
    height, width = pixels.shape[:2]
    part = max(8, int(min(height, width) * rng.uniform(0.12, 1)))
    y, x = (int(rng.integers(0, max(1, length - part + 1))) for length in (height, width))
    square = np.rot90(pixels[y : y + part, x : x + part], int(rng.choice(4, p=[0.55, 0.15, 0.15, 0.15])))
    method = cv2.INTER_AREA if part > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(square), (side, side), interpolation=method), np.uint8)


def corner(stored: Picture, *, rng: np.random.Generator) -> Picture:
    """A corner of a stored crop, enlarged to its size: hair, a shoulder, what is beside a face."""
    side = len(stored)
    part = int(side * rng.uniform(0.15, _CORNER))
    y, x = (0 if rng.random() < 0.5 else side - part for _ in range(2))
    square: NDArray[np.uint8] = np.ascontiguousarray(stored[y : y + part, x : x + part])
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def framed(pixels: Picture, *, rng: np.random.Generator) -> Picture:
    """A crop [side, side, 3] with the black frame of a close-cut chip, which is a little turned."""
    side = len(pixels)
    turned, part = float(rng.normal(0, 6)), float(rng.uniform(0.5, 0.95))
    middle = (rng.normal(0.5, 0.03, 2) * side).tolist()
    corners = cv2.boxPoints((middle, (part * side, part * side), turned))
    inside = np.zeros((side, side, 1), np.uint8)
    cv2.fillConvexPoly(inside, corners.astype(np.int32), (1,))
    return pixels * inside
