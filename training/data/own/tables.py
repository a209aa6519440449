"""Tables of faces: CSV, TSV, JSON lines and Parquet, a row a face (training.data.own.columns)."""

import contextlib
import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.data.own.columns import numbers_of, source_of_rows
from training.data.own.source import OwnSource, Settings
from training.data.reader import LayoutError

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BATCH = 256  # rows of a Parquet file at once: pictures may be in it
_LONGEST = 96 * 1024 * 1024  # characters of a cell: a picture of 64 MiB in base64, with line breaks


def open_table(file: Path, settings: Settings) -> OwnSource:
    """A table's columns and rows. LayoutError for a file that is none, and columns that say nothing."""
    rows = _FORMS[file.suffix.lower()]
    return source_of_rows(
        file.suffix.lower().removeprefix("."),
        lambda: rows(file),
        _column_names(file),
        origin=str(file),
        root=settings.root or file.parent,
        split=settings.split,
    )


def _column_names(file: Path) -> list[str]:
    if file.suffix.lower() in _DELIMITERS:
        header = next(_lines(file), None)
        if header is None:
            raise LayoutError(f"{file} is empty: its first line names the columns")
        return header
    if file.suffix.lower() == ".parquet":
        return list(_parquet(file).schema_arrow.names)
    names: dict[str, None] = {}
    for row in _json_rows(file):
        if isinstance(row, Mapping):
            names |= dict.fromkeys(map(str, row))
    if not names:
        raise LayoutError(f"{file} has no line that is a JSON object: write one a face")
    return list(names)


def _delimiter(file: Path) -> str:
    """What stands between a CSV's cells."""
    delimiter = _DELIMITERS[file.suffix.lower()]
    with file.open(newline="", encoding="utf-8-sig") as opened:
        first = opened.readline(_LONGEST)
    # What calls itself CSV has semicolons where a comma is a decimal point.
    return ";" if delimiter == "," and first.count(";") > first.count(",") else delimiter


def _lines(file: Path) -> Iterator[list[str]]:
    """A CSV's lines that are not empty, without blanks around cells."""
    try:
        delimiter = _delimiter(file)
        with file.open(newline="", encoding="utf-8-sig") as opened:
            lines = csv.reader(opened, delimiter=delimiter)
            while (cells := _next_line(lines)) is not None:
                if any(cell.strip() for cell in cells):
                    yield [cell.strip() for cell in cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"{file} is no table ({error}): save it as CSV in UTF-8") from None


def _next_line(lines: Iterator[list[str]]) -> list[str] | None:
    """The next line, whose cells may be as long as a picture; None after the last."""
    usual = csv.field_size_limit(_LONGEST)  # of the whole process: other readers keep theirs
    try:
        return next(lines, None)
    finally:
        csv.field_size_limit(usual)


def _csv_rows(file: Path) -> Iterator[Mapping[str, Any] | str]:
    lines = _lines(file)
    header = next(lines, [])
    numbers = numbers_of(header) if header and _delimiter(file) == ";" else {}
    for cells in lines:
        if len(cells) != len(header):
            yield f"it has {len(cells)} cells, and the first line {len(header)}"
            continue
        row = dict(zip(header, cells, strict=True))
        yield row | {name: _point_for_comma(row[name], count) for name, count in numbers.items()}


def _point_for_comma(cell: str, count: int) -> str:
    """A cell of `count` numbers or more with decimal points; commas that part numbers stay as they are."""
    is_parted = cell[:1] in ("[", "{") or len(cell.split()) < count
    return cell if is_parted else re.sub(r"(?<=\d),(?=\d)", ".", cell)


def _json_rows(file: Path) -> Iterator[Mapping[str, Any] | str]:
    try:
        with file.open(encoding="utf-8-sig") as opened:
            for line in opened:
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield f"it is no JSON ({error})"
                    continue
                yield row if isinstance(row, dict) else "it is no JSON object"
    except UnicodeDecodeError as error:
        raise LayoutError(f"{file} is no text ({error}): save it as JSON lines in UTF-8") from None


def _parquet(file: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise LayoutError(f"{file} needs pyarrow to be read: install it, or save the table as CSV") from None
    with _naming(file):
        return pyarrow.parquet.ParquetFile(file)


def _parquet_rows(file: Path) -> Iterator[Mapping[str, Any] | str]:
    batches = _parquet(file).iter_batches(batch_size=_BATCH)
    while True:
        with _naming(file):
            batch = next(batches, None)
            rows = [] if batch is None else batch.to_pylist()
        if batch is None:
            return
        yield from rows


@contextlib.contextmanager
def _naming(file: Path) -> Iterator[None]:
    """LayoutError with the file's name in the place of what pyarrow raises of damage."""
    import pyarrow

    try:
        yield
    except (OSError, ValueError, OverflowError, pyarrow.ArrowException) as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise LayoutError(f"{file} is no whole Parquet file ({words[0]}): write it again") from None


_FORMS = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
    ".parquet": _parquet_rows,
}
SUFFIXES = tuple(_FORMS)
