"""What a report is made of, before it becomes Markdown or a page: both show the same figures."""

import dataclasses
from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

NUMBER, WORDS = "number", "words"  # how a column is aligned


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """The name of a column, and how it is aligned."""

    name: str
    holds: str = NUMBER


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Cells of plain text; one that is `strong` is what the reader should see first.

    folded      whether a page shows it only to a reader who opens it
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    strong: frozenset[tuple[int, int]] = frozenset()  # row, column
    note: str = ""
    folded: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """A picture, and what it shows in words for who can't see it."""

    name: str
    title: str
    alt: str
    draw: Callable[[], Figure]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report under one heading."""

    name: str
    title: str
    text: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()


def words(name: str) -> Column:
    return Column(name=name, holds=WORDS)


def number(name: str) -> Column:
    return Column(name=name)
