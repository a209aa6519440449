"""Runs a search on the photos of each row and counts."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.benchmark.collages import match_faces, overlaps
from deploy.benchmark.detector.chips import four_points
from deploy.benchmark.detector.finder import Find
from deploy.benchmark.detector.intervals import Interval, mean_interval, share_interval
from deploy.benchmark.detector.photos import Shot
from deploy.benchmark.detector.rows import FaceRow
from runtime.detect.faces import Detections

# Of `Row.means`: overlap of found and true box; landmark errors in parts of the distance between the eyes.
_BOX, _EYES, _NOSE, _MOUTH = "box overlap", "eyes", "nose tip", "mouth centre"
WORSE_WHEN_LARGER = (_EYES, _NOSE, _MOUTH)
_COST_ROUNDS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """What one row came to.

    hits: a digit for each face (1: found) or, where `finds_are_false`, each photo (1: something was found).
    means: further figures. canvases and core_ms: what the network was shown, in canvases of 192 x 192, and
    the processor time of the search, both a photo. wrong: boxes a photo that show no face.
    """

    group: str
    name: str
    hits: str
    finds_are_false: bool
    share: Interval
    means: Mapping[str, Interval]
    photos: int
    wrong: float
    canvases: float
    core_ms: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """Processor time of the search in photos of one kind, in milliseconds, and canvases shown (192 x 192)."""

    name: str
    photos: int
    core_ms: Interval
    canvases: float


class Meter:
    """A search with its processor time and the canvases that its network was shown."""

    def __init__(self, find: Find, *, canvases: Callable[[], float]) -> None:
        self._find, self._canvases = find, canvases
        self.seconds = 0.0
        self.shown = 0.0

    def __call__(self, photo: NDArray[np.uint8]) -> Detections:
        """The faces of a photo uint8 [H, W, 3]."""
        shown, began = self._canvases(), time.process_time()
        found = self._find(photo)
        self.seconds += time.process_time() - began
        self.shown += self._canvases() - shown
        return found


def measure_faces(row: FaceRow, meter: Meter) -> Row:
    """How many of a row's faces are found, and how exactly."""
    began, shown = meter.seconds, meter.shown
    hits: list[bool] = []
    values: dict[str, list[float]] = {_BOX: [], _EYES: [], _NOSE: [], _MOUTH: []}
    photos = wrong = 0
    for shot in row.shots():
        found = meter(shot.pixels)
        match = match_faces(found.boxes, shot.boxes)
        hits += (match[shot.counted] >= 0).tolist()
        photos += 1
        wrong += len(found) - int((match >= 0).sum())
        for name, value in _exactness(shot, found, match):
            values[name].append(value)
    return Row(
        group=row.group,
        name=row.name,
        hits="".join("1" if hit else "0" for hit in hits),
        finds_are_false=False,
        share=share_interval(hits),
        means={name: mean_interval(known) for name, known in values.items() if known},
        photos=photos,
        wrong=wrong / photos,
        canvases=(meter.shown - shown) / photos,
        core_ms=1000 * (meter.seconds - began) / photos,
    )


def _exactness(shot: Shot, found: Detections, match: NDArray[np.int_]) -> Iterator[tuple[str, float]]:
    """Overlaps and landmark errors of the faces that are found and whose place is known well."""
    overlap = overlaps(found.boxes, shot.boxes)
    # A pixel's own coordinates are its middle's; the truth is measured from the photo's edge.
    points = four_points(found) + 0.5
    for face in np.flatnonzero((match >= 0) & shot.exact & shot.counted):
        truth = shot.points[face]
        yield _BOX, float(overlap[face, match[face]])
        errors = np.linalg.norm(points[match[face]] - truth, axis=1) / np.linalg.norm(truth[0] - truth[1])
        yield _EYES, float(errors[:2].mean())
        yield _NOSE, float(errors[2])
        yield _MOUTH, float(errors[3])


def measure_false_finds(name: str, photos: Iterable[NDArray[np.uint8]], meter: Meter) -> Row:
    """In how many photos without a face something is found."""
    began, shown = meter.seconds, meter.shown
    counts = np.array([len(meter(photo)) for photo in photos])
    return Row(
        group="no face",
        name=name,
        hits="".join("1" if count else "0" for count in counts),
        finds_are_false=True,
        share=share_interval(counts > 0),
        means={},
        photos=len(counts),
        wrong=float(counts.mean()),
        canvases=(meter.shown - shown) / len(counts),
        core_ms=1000 * (meter.seconds - began) / len(counts),
    )


def measure_cost(name: str, photos: Sequence[NDArray[np.uint8]], meter: Meter) -> Cost:
    """The processor time of these photos; of several rounds each photo's median counts."""
    for photo in photos[:2]:
        meter(photo)  # the engine makes what it needs for a shape once
    shown = meter.shown
    times = np.empty((_COST_ROUNDS, len(photos)))
    for turn in times:
        for number, photo in enumerate(photos):
            began = meter.seconds
            meter(photo)
            turn[number] = 1000 * (meter.seconds - began)
    return Cost(
        name=name,
        photos=len(photos),
        core_ms=mean_interval(np.median(times, axis=0)),
        canvases=(meter.shown - shown) / times.size,
    )
