"""How many faces of a photo full of them are found: `python -m deploy.benchmark.many_faces`.

Photos are put together of one portrait (or of those in --faces DIR) in a grid, each scaled, mirrored, turned
a little and lit differently, so that the place of every face is known. Each is searched as face_detect does
it, with the usual search and with smaller `min_face`. Prints a Markdown table: the faces in the photo and the
median of their sizes in pixels; the share of them found and answered, how many boxes show no face, faces
found and faces answered (the best, where a limit leaves some out), the smallest face that was looked for,
how much the detector was shown, in canvases of
192 x 192 pixels, and the search's processor time (the network's time for each answered face comes on top).
With --by-size: by a face's size as the detector sees it, which share of them the usual search finds.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.benchmark.collages import match_faces, pictures_in
from deploy.measuring.command import parser_of
from deploy.measuring.pictures.collages import Portrait, collage
from deploy.measuring.pictures.portrait import PORTRAIT
from runtime.detect.canvases import whole_looks
from runtime.detect.detector_engine import load_detector
from runtime.detect.detector_file import find_detector
from runtime.detect.faces import Detections, find_faces
from runtime.detect.search import MAX_FACES, Search
from runtime.errors import InvalidInput
from runtime.image.decode import decode_image

SIZES = ((1920, 1080), (3600, 2400), (6000, 4000))
COUNTS = (1, 10, 50, 100, 300, 600, 1000)
MIN_FACES: tuple[float | None, ...] = (None, 0.01, 0.005)

# Of --by-size: photos whose faces are about as small as the usual search looks for, and larger.
_BY_SIZE_PHOTO = (3600, 2400)
_BY_SIZE_COUNTS = range(90, 231, 20)
_LARGE = 21  # canvas pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """What one search of a collage gave."""

    width: int
    height: int
    faces: int
    face_size: float
    min_face: float | None
    recall: float
    wrong: int  # boxes that show no face
    found: int
    answered: int
    smallest_face: float
    canvases: float
    core_seconds: float


_CANVAS = 192  # pixels a side


class Detector:
    """The detector as face_detect runs it, on one thread of this process."""

    def __init__(self) -> None:
        self._engine = load_detector(find_detector(), threads=1)
        self.shown = 0.0  # until now, in canvases of 192 x 192 pixels

    def find(self, photo: NDArray[np.uint8], search: Search) -> Detections:
        """The faces of a photo uint8 [H, W, 3]."""
        return find_faces(photo, self._infer, search=search)

    def _infer(self, canvases: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        self.shown += canvases.size / (3 * _CANVAS**2)
        return self._engine.infer(canvases)


def read_portraits(files: Sequence[Path], detector: Detector) -> list[Portrait]:
    """The portraits in these files: those in which one face is found; what is no picture is left out."""
    portraits = []
    for file in files:
        try:
            pixels = decode_image(np.fromfile(file, dtype=np.uint8))
        except InvalidInput:
            continue
        found = detector.find(pixels, Search())
        if len(found) == 1:
            portraits.append(Portrait(pixels=pixels, box=found.boxes[0].astype(np.float64)))
    return portraits


def measure(
    detector: Detector,
    portraits: Sequence[Portrait],
    *,
    sizes: Sequence[tuple[int, int]],
    counts: Sequence[int],
    min_faces: Sequence[float | None],
    max_faces: int,
    seed: int,
) -> Iterator[Row]:
    """A row for each size, number of faces and `min_face`."""
    for width, height in sizes:
        for count in counts:
            photo = collage(portraits, width=width, height=height, count=count, seed=seed)
            for min_face in min_faces:
                search = Search(max_faces=max_faces, min_face=min_face)
                detector.shown, began = 0.0, time.process_time()
                found = detector.find(photo.pixels, search)
                seconds = time.process_time() - began
                hits = int((match_faces(found.boxes, photo.boxes) >= 0).sum())
                yield Row(
                    width=width,
                    height=height,
                    faces=count,
                    face_size=photo.face_size,
                    min_face=min_face,
                    recall=hits / count,
                    wrong=len(found) - hits,
                    found=found.faces_found,
                    answered=len(found),
                    smallest_face=found.smallest_face,
                    canvases=detector.shown,
                    core_seconds=seconds,
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SizeRow:
    """Faces of one size on the detector's canvas, in whole pixels, and how many of them were found."""

    size: int
    faces: int
    found: int


def recall_by_size(detector: Detector, portraits: Sequence[Portrait], *, seed: int) -> Iterator[SizeRow]:
    """A row for each size around the smallest that is looked for; the last has all that are larger."""
    width, height = _BY_SIZE_PHOTO
    sizes, shown = [], []
    for count in _BY_SIZE_COUNTS:
        for each in (seed, seed + 1):
            photo = collage(portraits, width=width, height=height, count=count, seed=each)
            scale = float(whole_looks(photo.pixels)[-1].scale.max())
            sides = (photo.boxes[:, 2:] - photo.boxes[:, :2]).max(axis=1)
            sizes.append(np.minimum(np.rint(sides * scale), _LARGE).astype(int))
            shown.append(match_faces(detector.find(photo.pixels, Search()).boxes, photo.boxes) >= 0)
    all_sizes, all_shown = np.concatenate(sizes), np.concatenate(shown)
    for size in np.unique(all_sizes):
        of_size = all_shown[all_sizes == size]
        yield SizeRow(size=int(size), faces=len(of_size), found=int(of_size.sum()))


BY_SIZE_HEADER = "| size on the canvas, pixels | faces | found |\n|---|---:|---:|"


def size_line(row: SizeRow) -> str:
    """A row of the table by size."""
    more = " and more" if row.size == _LARGE else ""
    return f"| {row.size}{more} | {row.faces} | {row.found / row.faces:.0%} |"


HEADER = (
    "| photo | faces | their size | `min_face` | of them answered | wrong boxes | `faces_found` | answered | "
    "`smallest_face` | canvases | core-ms |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def line(row: Row) -> str:
    """A row of the table."""
    wanted = "usual" if row.min_face is None else f"{row.min_face:g}"
    return (
        f"| {row.width} x {row.height} | {row.faces} | {row.face_size:.0f} | {wanted} | {row.recall:.1%} | "
        f"{row.wrong} | {row.found} | {row.answered} | {row.smallest_face:.1f} | {row.canvases:.1f} | "
        f"{row.core_seconds * 1000:.0f} |"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = parser_of("deploy.benchmark.many_faces", __doc__)
    parser.add_argument("--faces", type=Path, metavar="DIR", help="portraits, instead of the astronaut's")
    parser.add_argument("--sizes", type=_sizes, default=SIZES, metavar="WxH,...", help="of the photos")
    parser.add_argument("--counts", type=_counts, default=COUNTS, metavar="N,...", help="faces in a photo")
    parser.add_argument(
        "--min-face", type=float, nargs="+", default=MIN_FACES[1:], help="beside the usual search"
    )
    parser.add_argument("--max-faces", type=int, default=MAX_FACES, help="the server's (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--by-size", action="store_true", help="the usual search's recall by size on the detector's canvas"
    )
    options = parser.parse_args(arguments)
    detector = Detector()
    files = [PORTRAIT]
    if options.faces is not None:
        files = pictures_in(options.faces)
    portraits = read_portraits(files, detector)
    if not portraits:
        print(f"there is no picture of one face in {options.faces}: name another folder", file=sys.stderr)
        return 2
    if options.by_size:
        print(BY_SIZE_HEADER)
        for each in recall_by_size(detector, portraits, seed=options.seed):
            print(size_line(each))
        return 0
    print(HEADER)
    for row in measure(
        detector,
        portraits,
        sizes=options.sizes,
        counts=options.counts,
        min_faces=(None, *options.min_face),
        max_faces=options.max_faces,
        seed=options.seed,
    ):
        print(line(row), flush=True)
    return 0


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    try:
        pairs = [[int(side) for side in size.split("x")] for size in text.split(",")]
        return tuple((width, height) for width, height in pairs)
    except ValueError:
        raise argparse.ArgumentTypeError(f"sizes like 1920x1080, commas between them, not {text!r}") from None


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(count) for count in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"numbers with commas between them, not {text!r}") from None


if __name__ == "__main__":
    sys.exit(main())
