"""Where the photos lie: apart from what makes them, whose libraries the client has no need of."""

from collections.abc import Iterator
from pathlib import Path


def picture_paths(folder: Path, count: int) -> Iterator[Path]:
    """The files' names, made as they are wanted: a list of them would grow, as a path keeps its text."""
    for number in range(count):
        yield folder / f"{number:06}.jpg"
