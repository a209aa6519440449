"""YouTube Faces with 68 points: frames of videos, cropped to the face, with iBUG's points.

Wolf, Hassner, Maoz, Face Recognition in Unconstrained Videos with Matched Background Similarity, CVPR
2011; the points were found by a tracker. The person is a frame's name before its last number:
persons with at least 400 frames together are held out for testing.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.source_files import find_path, read_rows
from training.data.reader_tools.splits import random_subset
from training.data.sample import BadSample, Sample

_HELD_OUT = 400
_POINTS = 68


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every frame of the table, in its order."""
    table = find_path(source, "landmarks68.csv", what="the table of points")
    folder = find_path(source, "images", what="the folder of frames")
    header, *rows = list(read_rows(table)) or [[]]
    if len(header) != 1 + 2 * _POINTS:
        raise LayoutError(f"{table} has {len(header)} columns, not file and 68 times x and y")
    persons = [_person(row[0]) for row in rows]
    held_out = _persons_held_out(persons)
    for row, person in zip(rows, persons, strict=True):
        key = f"{folder.name}/{row[0]}"
        try:
            points = np.array(row[1:], dtype=np.float64).reshape(_POINTS, 2)
        except ValueError:
            yield BadSample(key=key, reason=f"its line in {table.name} is not 68 times x and y")
            continue
        yield Sample(
            key=key,
            picture=folder / row[0],
            labels={"landmarks": points.tolist()},
            split="test" if person in held_out else "train",
            person=person,
        )


def _person(name: str) -> str:
    """Luis_Fonsi of Luis_Fonsi_21.jpg."""
    return name.rpartition(".")[0].rpartition("_")[0]


def _persons_held_out(persons: list[str]) -> set[str]:
    held_out: set[str] = set()
    frames = 0
    # Drawn one after the other, so that the order depends on the names alone.
    left = sorted(set(persons))
    while left and frames < min(_HELD_OUT, len(persons) // 2):
        (person,) = random_subset(left, count=1)
        held_out.add(person)
        frames += persons.count(person)
        left.remove(person)
    return held_out


READER = Reader(
    name="youtube68",
    title="YouTube Faces with 68 points (Wolf, Hassner, Maoz, CVPR 2011)",
    licence="research",
    tasks=("landmarks",),
    tree="""\
landmarks68.csv             file,x0,y0,...,x67,y67
images/Luis_Fonsi_21.jpg""",
    expected=Expected(counts={"all": 3462}, files=("landmarks68.csv", "images")),
    read=read,
)
