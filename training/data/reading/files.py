"""What the layouts share: finding files where people keep them, splitting at random, checked mappings."""

import csv
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeVar

from training.data.sample import LayoutError
from training.tasks import CATALOGUE

Word = TypeVar("Word")


def find(source: Path, *places: str, what: str) -> Path:
    """The first of `places` (paths below `source`, the official one first) that exists.

    LayoutError says what is missing and where it belongs.
    """
    for place in places:
        path = source / place
        if path.exists():
            return path
    raise LayoutError(f"{what} is missing: it belongs at {source / places[0]}")


def find_or_none(source: Path, *places: str) -> Path | None:
    """The first of `places` (paths below `source`) that exists, or None."""
    return next((source / place for place in places if (source / place).exists()), None)


def lines_of(path: Path) -> list[str]:
    """The lines of a text file that are not empty; LayoutError for one that is no text."""
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise LayoutError(f"{path} is not a text file: fetch it again") from None


def rows_of(path: Path, *, delimiter: str = ",", quotes: bool = True) -> Iterator[list[str]]:
    """The rows of a table that are not empty; LayoutError for a file that is no table."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from (row for row in csv.reader(file, delimiter=delimiter, quoting=quoting) if any(row))
    except (UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"{path} is no table ({error}): fetch it again") from None


def drawn(keys: Collection[str], *, share: float | None = None, count: int | None = None) -> set[str]:
    """A random part of `keys`: `share` of them (rounded), or `count` of them.

    The part depends on the names alone, through their SHA-256, so that every run and every machine
    draws the same.
    """
    if (share is None) == (count is None):
        raise ValueError("say either share or count")
    wanted = round(len(keys) * share) if share is not None else count
    return set(sorted(keys, key=_hash)[:wanted])


def _hash(key: str) -> str:
    # A file's name may hold bytes that are no text.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def to_catalogue(task: str, words: Mapping[Word, str]) -> Mapping[Word, str]:
    """`words` (the set's own word -> the catalogue's label), once every label is known to be the task's."""
    unknown = sorted(set(words.values()) - set(CATALOGUE[task].labels))
    if unknown:
        raise ValueError(f"task {task!r} has no label {', '.join(unknown)}: mend the layout's mapping")
    return words


def normal(words: Iterable[str]) -> list[str]:
    """Words as `5_o_clock_shadow`: lower case, with one `_` for whatever is no letter or digit."""
    spaced = ("".join(c if c.isalnum() else " " for c in word.replace("'", "").lower()) for word in words)
    return ["_".join(word.split()) for word in spaced]
