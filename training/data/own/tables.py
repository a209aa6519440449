"""Tables of faces: CSV, TSV, JSON lines and Parquet, a row a face (training.data.own.columns)."""

import csv
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.data.own.columns import source_of_rows
from training.data.own.source import OwnSource, Settings
from training.data.reader import LayoutError

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BATCH = 256  # rows of a Parquet file at once: pictures may be in it


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


def _lines(file: Path) -> Iterator[list[str]]:
    """A CSV's lines that are not empty, without blanks around cells."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            delimiter = _DELIMITERS[file.suffix.lower()]
            first = opened.readline()
            # What calls itself CSV has semicolons where a comma is a decimal point.
            if delimiter == "," and first.count(";") > first.count(","):
                delimiter = ";"
            opened.seek(0)
            for cells in csv.reader(opened, delimiter=delimiter):
                if any(cell.strip() for cell in cells):
                    yield [cell.strip() for cell in cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"{file} is no table ({error}): save it as CSV in UTF-8") from None


def _csv_rows(file: Path) -> Iterator[Mapping[str, Any] | str]:
    lines = _lines(file)
    header = next(lines, [])
    for cells in lines:
        if len(cells) != len(header):
            yield f"it has {len(cells)} cells, and the first line {len(header)}"
        else:
            yield dict(zip(header, cells, strict=True))


def _json_rows(file: Path) -> Iterator[Mapping[str, Any] | str]:
    try:
        with file.open(encoding="utf-8-sig") as opened:
            for line in opened:
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
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
    try:
        return pyarrow.parquet.ParquetFile(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise LayoutError(f"{file} is no Parquet file ({error})") from None


def _parquet_rows(file: Path) -> Iterator[Mapping[str, Any] | str]:
    batches = _parquet(file).iter_batches(batch_size=_BATCH)
    yield from itertools.chain.from_iterable(batch.to_pylist() for batch in batches)


_FORMS = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
    ".parquet": _parquet_rows,
}
SUFFIXES = tuple(_FORMS)
