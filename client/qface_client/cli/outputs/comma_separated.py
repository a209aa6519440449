"""Answers as CSV (RFC 4180, but for the line's end): a header, then a row a face.

A photo without a face and one that failed have a row too, whose face is empty: no photo is missing.
"""

import contextlib
import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...contract import Contract
from ...tables import Column, columns
from .. import output
from .answered import Answered
from .earlier import Earlier
from .table_rows import table_rows
from .whole_file import WholeFile


class CommaSeparated:
    """CSV in a file, or on standard output (file None). Each photo's rows are written at once."""

    def __init__(self, file: WholeFile | None, contract: Contract, tasks: Sequence[str] | None) -> None:
        self._contract = contract
        self._columns = columns(contract, tasks)
        self._file = file
        self._opened = None if file is None else _open(file.path)
        self._whole = 0  # bytes up to the end of the last photo; 0: no row yet
        self._begun = False

    def write(self, answered: Answered) -> None:
        """Add one photo's rows. Raises ContractError where it was answered by another contract."""
        self._begun = True
        rows = [
            [_cell(row.get(column.name), column) for column in self._columns]
            for row in table_rows(answered, self._contract)
        ]
        self._write(rows)

    def resume(self, path: Path, *, name: str) -> Earlier:
        """Begin with the answered photos of an earlier table. InvalidInput for one of other answers.

        `name`: of the table, as it was given.
        """
        earlier = Earlier(table=name)
        places = {column.name: place for place, column in enumerate(self._columns)}
        of = [places[name] for name in ("file", "photo", "contract", "error")]
        try:
            with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                rows = csv.reader(file, strict=True)
                earlier.check(next(rows, []), self._columns)
                for row in rows:
                    if len(row) != len(self._columns):
                        raise ValueError(f"line {rows.line_num} has {len(row)} cells")
                    name, photo, answered_by, error = (row[place] for place in of)
                    earlier.count(photo)
                    if not error:
                        earlier.take(name=name, photo=photo, answered_by=answered_by, contract=self._contract)
                        self._write([row])
        except (OSError, ValueError, csv.Error) as error:
            raise earlier.unreadable(error) from error
        return earlier

    def close(self) -> None:
        """Give the file its name, if a photo was added."""
        if self._opened is None or self._file is None:
            return
        self._opened.close()
        if self._begun:
            self._file.keep()

    def _write(self, rows: list[list[Any]]) -> None:
        header = [] if self._whole else [[column.name for column in self._columns]]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*header, *rows])
        self._append(text.getvalue())

    def _append(self, text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")  # a file's name keeps its bytes
        if self._opened is None or self._file is None:
            output.write(text.removesuffix("\n"))
        else:
            self._append_to_file(data, file=self._opened, name=self._file.name)
        self._whole += len(data)

    def _append_to_file(self, data: bytes, *, file: io.FileIO, name: str) -> None:
        try:
            written = 0
            while written < len(data):
                written += file.write(data[written:]) or 0
        except OSError as error:
            with contextlib.suppress(OSError):  # of a pipe or a device
                os.ftruncate(file.fileno(), self._whole)  # no half row where the disk is full
            raise output.NoOutput(name) from error


def _open(path: Path) -> io.FileIO:
    return io.FileIO(path, "ab")  # unbuffered: a photo's rows are written together


def _cell(value: Any, column: Column) -> Any:
    return round(value, column.digits) if column.digits is not None and value is not None else value
