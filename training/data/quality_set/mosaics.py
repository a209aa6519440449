"""Pictures without a face from pictures of faces, for who has no photos without one under fitting terms.

    python -m training.data.quality_set.mosaics --data DIR --sets fairface --output PHOTOS

Each is a mosaic of pieces of many training faces, none large enough for a face, at many sizes and turned.
They are worth less than photos of things and places: where there are such, take those.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from training.cli import run_cli
from training.data.prepared.face_set import FaceSet
from training.data.quality_set.degradations import Picture

_SIDE = 384  # pixels of a mosaic
_PIECE = 0.12, 0.3  # of a stored crop's side: an eye and a brow at most
_CELLS = (2, 3, 4, 6, 9)  # of a mosaic's side
_BLACK = 0.05  # part of a piece that may lie outside the photo, where a stored crop is black
_TRIES = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (training.cli.run_cli)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.data.quality_set.mosaics", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of prepared sets")
    parser.add_argument("--sets", required=True, help="take the training faces of these, separated by commas")
    parser.add_argument("--output", type=Path, required=True, help="the folder that gets the pictures")
    parser.add_argument("--count", type=int, default=800, help="pictures (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn")
    options = parser.parse_args(arguments)

    def work() -> None:
        if options.count < 1:
            raise ValueError(f"--count {options.count} makes no picture: take 1 or more")
        names = [name.strip() for name in options.sets.split(",")]
        sets = [FaceSet(options.data / name, split="train") for name in names]
        options.output.mkdir(parents=True, exist_ok=True)
        for number in range(options.count):
            pixels = mosaic(sets, rng=np.random.default_rng([options.seed, number]))
            path = options.output / f"mosaic-{number:05}.jpg"
            encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
            path.write_bytes(encoded.tobytes())
        print(f"{options.count} pictures without a face in {options.output}")

    return run_cli("training.data.quality_set.mosaics", work, place=options.output)


def mosaic(sets: Sequence[FaceSet], *, rng: np.random.Generator) -> Picture:
    """A picture [384, 384, 3] RGB of square pieces of random faces of these sets."""
    cells = int(rng.choice(_CELLS))
    side = -(-_SIDE // cells)
    rows = [np.concatenate([_piece(sets, rng=rng, side=side) for _ in range(cells)], 1) for _ in range(cells)]
    whole = np.concatenate(rows)[:_SIDE, :_SIDE]
    if rng.random() < 0.5:  # else its seams would tell it from photos
        whole = np.asarray(cv2.GaussianBlur(whole, (0, 0), float(rng.uniform(1, side / 6))), np.uint8)
    return np.ascontiguousarray(whole)


def _piece(sets: Sequence[FaceSet], *, rng: np.random.Generator, side: int) -> Picture:
    """A piece of a face or of what is beside it, turned by right angles, as [side, side, 3]."""
    for _ in range(_TRIES):
        faces = sets[int(rng.integers(len(sets)))]
        stored = faces.stored_crop(int(rng.integers(len(faces))))
        part = max(4, int(len(stored) * rng.uniform(*_PIECE)))
        y, x = (int(rng.integers(0, len(stored) - part + 1)) for _ in range(2))
        piece = np.ascontiguousarray(np.rot90(stored[y : y + part, x : x + part], int(rng.integers(4))))
        if np.mean(piece.max(axis=2) == 0) < _BLACK:
            break
    return np.asarray(cv2.resize(piece, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
