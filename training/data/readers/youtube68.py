"""YouTube Faces with 68 points: frames of videos, cropped to the face, with iBUG's points.

Wolf, Hassner, Maoz, Face Recognition in Unconstrained Videos with Matched Background Similarity, CVPR
2011; the points were found by a tracker. Who it is stands in a frame's name before its last number:
persons with at least 400 frames together are kept out for testing.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.data.reading.files import drawn, find, rows_of
from training.data.sample import BadSample, Expected, Layout, LayoutError, Sample

_KEPT_OUT = 400
_POINTS = 68


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every frame of the table, in its order."""
    table = find(source, "landmarks68.csv", what="the table of points")
    folder = find(source, "images", what="the folder of frames")
    header, *rows = list(rows_of(table)) or [[]]
    if len(header) != 1 + 2 * _POINTS:
        raise LayoutError(f"{table} has {len(header)} columns, not file and 68 times x and y")
    persons = [_person(row[0]) for row in rows]
    kept_out = _persons_kept_out(persons)
    for row, person in zip(rows, persons, strict=True):
        key = f"{folder.name}/{row[0]}"
        try:
            points = np.array(row[1:], dtype=np.float64).reshape(_POINTS, 2)
        except ValueError:
            yield BadSample(key=key, why=f"its line in {table.name} is not 68 times x and y")
            continue
        yield Sample(
            key=key,
            picture=folder / row[0],
            labels={"landmarks": points.tolist()},
            split="test" if person in kept_out else "train",
            person=person,
        )


def _person(name: str) -> str:
    """Luis_Fonsi of Luis_Fonsi_21.jpg."""
    return name.rpartition(".")[0].rpartition("_")[0]


def _persons_kept_out(persons: list[str]) -> set[str]:
    kept_out: set[str] = set()
    frames = 0
    # Drawn one after the other, so that the order depends on the names alone.
    left = sorted(set(persons))
    while left and frames < min(_KEPT_OUT, len(persons) // 2):
        (person,) = drawn(left, count=1)
        kept_out.add(person)
        frames += persons.count(person)
        left.remove(person)
    return kept_out


LAYOUT = Layout(
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
