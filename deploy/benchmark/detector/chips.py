"""Pictures of one face each, and where the face is: what photos are put together of.

A chip is a small square picture that one face fills. Where exactly the face is, labels do not state, so the
detector itself is asked, under the best circumstances and once for all: in fp32, on the enlarged chip with
three widths of border around it, plain and mirrored. The truth is the median of these six looks. A face that
no look finds is no less a face: it gets the place that the others have in the middle, and counts for recall,
but not for how exact boxes and landmarks are. So that two runs are held to the same truth, it is kept in a
file, by the digest of the chip's content.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.benchmark.collages import pictures_in
from deploy.benchmark.detector.finder import Find
from runtime.detect.faces import Detections
from runtime.errors import InvalidInput
from runtime.image.decode import decode_image

# Right eye, left eye, nose tip, middle of the mouth; the subject's right.
POINTS = 4
_MIRRORED_POINTS = [1, 0, 2, 3]
_LOOK_SIDE = 512
_BORDERS = (0.05, 0.5, 1.0)  # of the chip's side, on each side of it
# The looks that must find a face for its truth to be exact.
_ENOUGH = 3
# The face of a look is the one nearest the chip's middle, and at most this part of its side away from it.
_NEAR = 0.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a chip's face is, in parts of the chip's side. box [4]; points [4, 2]; exact: by enough looks."""

    box: NDArray[np.float64]
    points: NDArray[np.float64]
    exact: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """A square picture uint8 [S, S, 3] of one face; box [4] and points [4, 2] in its pixels."""

    pixels: NDArray[np.uint8]
    box: NDArray[np.float64]
    points: NDArray[np.float64]
    exact: bool

    @property
    def face(self) -> float:
        """The longer side of the face's box in pixels."""
        return float((self.box[2:] - self.box[:2]).max())


def choose_chips(folder: Path, *, count: int, seed: int, truth: Path, find: Find) -> list[Chip]:
    """So many chips below a folder, drawn by a seed, with the truth of that file.

    Chips that the file lacks are looked at and added to it. Raises ValueError for a folder of fewer pictures.
    """
    files = pictures_in(folder)
    if len(files) < count:
        raise ValueError(f"{folder} has {len(files)} pictures, and {count} are needed: name a larger folder")
    order = np.random.default_rng(seed).permutation(len(files))
    chosen: dict[str, NDArray[np.uint8]] = {}
    for number in order:
        content = files[number].read_bytes()
        try:
            pixels = decode_image(content)
        except InvalidInput:
            continue
        if pixels.shape[0] == pixels.shape[1]:
            chosen.setdefault(hashlib.sha256(content).hexdigest()[:16], pixels)
        if len(chosen) == count:
            break
    known = read_truth(truth)
    missing = chosen.keys() - known.keys()
    if missing:
        known |= {key: locate(chosen[key], find) for key in chosen if key in missing}
        write_truth(truth, known)
    usual = _usual_place([place for place in known.values() if place is not None])
    return [_chip(pixels, known[key] or usual) for key, pixels in chosen.items()]


def locate(pixels: NDArray[np.uint8], find: Find) -> Place | None:
    """The median of the looks at a chip uint8 [S, S, 3]; None where none finds a face in its middle."""
    boxes, points = [], []
    for border in _BORDERS:
        for mirrored in (False, True):
            look = pixels[:, ::-1] if mirrored else pixels
            side = _LOOK_SIDE / (1 + 2 * border)  # of the chip in the look
            photo = _with_border(look, border=border)
            found = find(photo)
            middle = np.full(2, photo.shape[0] / 2)
            centers = found.boxes.reshape(-1, 2, 2).mean(axis=1)
            distance = np.abs(centers - middle).max(axis=1)
            if not len(found) or distance.min() > _NEAR * side:
                continue
            best = int(distance.argmin())
            box = (found.boxes[best].reshape(2, 2) - middle) / side + 0.5
            five = (four_points(found)[best] + 0.5 - middle) / side + 0.5
            if mirrored:
                box[:, 0] = 1 - box[::-1, 0]
                five[:, 0] = 1 - five[:, 0]
                five = five[_MIRRORED_POINTS]
            boxes.append(box.reshape(4))
            points.append(five)
    if not boxes:
        return None
    return Place(box=np.median(boxes, axis=0), points=np.median(points, axis=0), exact=len(boxes) >= _ENOUGH)


def four_points(found: Detections) -> NDArray[np.float64]:
    """Eyes, nose tip and middle of the mouth [N, 4, 2] of the faces found, in pixels of the photo."""
    five = found.landmarks.astype(np.float64)
    return np.concatenate([five[:, :3], five[:, 3:].mean(axis=1, keepdims=True)], axis=1)


def read_truth(file: Path) -> dict[str, Place | None]:
    """The places of chips' faces by the digest of their content; nothing where there is no file yet."""
    if not file.is_file():
        return {}
    content = json.loads(file.read_text())
    return {
        key: None
        if entry is None
        else Place(
            box=np.array(entry["box"]),
            points=np.array(entry["eyes_nose_mouth"]).reshape(-1, 2),
            exact=entry["exact"],
        )
        for key, entry in content.items()
    }


def write_truth(file: Path, places: dict[str, Place | None]) -> None:
    """A line a chip, in the order of their digests."""
    lines = []
    for key in sorted(places):
        place = places[key]
        entry = None
        if place is not None:
            entry = {
                "box": place.box.round(4).tolist(),
                "eyes_nose_mouth": place.points.round(4).reshape(-1).tolist(),
                "exact": place.exact,
            }
        lines.append(f"{json.dumps(key)}: {json.dumps(entry)}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _usual_place(places: Sequence[Place]) -> Place:
    if not places:
        raise ValueError("no face is found in any of the chips: name a folder of pictures of one face each")
    return Place(
        box=np.median([place.box for place in places], axis=0),
        points=np.median([place.points for place in places], axis=0),
        exact=False,
    )


def _chip(pixels: NDArray[np.uint8], place: Place) -> Chip:
    side = pixels.shape[0]
    return Chip(pixels=pixels, box=place.box * side, points=place.points * side, exact=place.exact)


def _with_border(pixels: NDArray[np.uint8], *, border: float) -> NDArray[np.uint8]:
    """The chip in the middle of a square photo, its edges drawn out to the photo's."""
    side = pixels.shape[0]
    around = round(side * border)
    wide = cv2.copyMakeBorder(pixels, around, around, around, around, cv2.BORDER_REPLICATE)
    return np.asarray(
        cv2.resize(wide, (_LOOK_SIDE, _LOOK_SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.uint8
    )
