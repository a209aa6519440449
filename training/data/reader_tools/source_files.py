"""Files of a data set: found where people keep them, read as lines or as tables."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from training.data.reader import LayoutError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def find_path(source: Path, *places: str, what: str) -> Path:
    """The first of `places` (paths below `source`, the official one first) that exists.

    Raises LayoutError naming `what` is missing and where it belongs.
    """
    path = find_path_or_none(source, *places)
    if path is None:
        raise LayoutError(f"{what} is missing: it belongs at {source / places[0]}")
    return path


def find_path_or_none(source: Path, *places: str) -> Path | None:
    """The first of `places` (paths below `source`) that exists, or None."""
    return next((source / place for place in places if (source / place).exists()), None)


def picture_beside(path: Path) -> Path | None:
    """The picture of the same name as a file of labels, in the same folder; None where there is none."""
    for suffix in PICTURE_SUFFIXES:
        for name in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
            if name.exists():
                return name
    return None


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty; LayoutError for one that is no text."""
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise LayoutError(f"{path} is not a text file: fetch it again") from None


def read_rows(path: Path, *, delimiter: str = ",", quotes: bool = True) -> Iterator[list[str]]:
    """The rows of a table that are not empty; LayoutError for a file that is no table."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from (row for row in csv.reader(file, delimiter=delimiter, quoting=quoting) if any(row))
    except (UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"{path} is no table ({error}): fetch it again") from None
