"""Answers as a Parquet file, with the rows and columns of the CSV: for pandas, DuckDB, Spark and others."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...contract import Contract
from ...errors import InvalidInput
from ...tables import Column, columns
from .. import output
from .answered import Answered
from .earlier import Earlier
from .table_rows import table_rows
from .whole_file import WholeFile

_CELLS = 250_000  # of a row group: some tens of MB while it is collected


def check_installed() -> None:
    """InvalidInput where pyarrow is missing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise InvalidInput(
            '--parquet needs pyarrow: pip install "qface-client[parquet]", or take --csv'
        ) from error


class Parquet:
    """A Parquet file, written a row group at a time: memory does not grow with the photos."""

    def __init__(self, file: WholeFile, contract: Contract, tasks: Sequence[str] | None) -> None:
        import pyarrow
        import pyarrow.parquet

        self._arrow = pyarrow
        self._contract = contract
        self._file = file
        self._columns = columns(contract, tasks)
        types = {column.name: _arrow_type(pyarrow, column) for column in self._columns}
        pandas = json.dumps(_for_pandas(self._columns))
        self._schema = pyarrow.schema(list(types.items()), metadata={"pandas": pandas})
        try:
            self._writer = pyarrow.parquet.ParquetWriter(os.fspath(file.path), self._schema)
        except OSError as error:
            raise output.NoOutput(file.name) from error
        self._rows: list[dict[str, Any]] = []
        self._begun = False

    def write(self, answered: Answered) -> None:
        """Add one photo's rows. Raises ContractError where it was answered by another contract."""
        self._rows += table_rows(answered, self._contract)
        self._begun = True
        if len(self._rows) * len(self._columns) >= _CELLS:
            self._write_group()

    def resume(self, path: Path, *, name: str) -> Earlier:
        """Begin with the answered photos of an earlier table. InvalidInput for one of other answers.

        `name`: of the table, as it was given.
        """
        earlier = Earlier(table=name, as_written=_text)
        try:
            with self._arrow.parquet.ParquetFile(os.fspath(path)) as stored:
                earlier.check(stored.schema_arrow.names, self._columns)
                for group in range(stored.num_row_groups):
                    self._take_over(stored.read_row_group(group), earlier)
        except (OSError, ValueError) as error:
            raise earlier.unreadable(error) from error
        return earlier

    def close(self) -> None:
        """Write what is collected and give the file its name, if a photo was added."""
        self._write_group()
        self._close_writer()
        if self._begun:
            self._file.keep()

    def _take_over(self, table: Any, earlier: Earlier) -> None:
        for photo in table["photo"].to_pylist():
            earlier.count(photo)
        answered = table.filter(table["error"].is_null()).cast(self._schema)
        columns = (answered[name].to_pylist() for name in ("file", "photo", "contract"))
        for name, photo, answered_by in zip(*columns, strict=True):
            earlier.take(name=name, photo=photo, answered_by=answered_by, contract=self._contract)
        self._write_table(answered)

    def _write_group(self) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        arrays = [self._array(column, [row.get(column.name) for row in rows]) for column in self._columns]
        self._write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def _write_table(self, table: Any) -> None:
        try:
            self._writer.write_table(table)
        except OSError as error:
            raise output.NoOutput(self._file.name) from error

    def _close_writer(self) -> None:
        try:
            self._writer.close()
        except OSError as error:
            raise output.NoOutput(self._file.name) from error

    def _array(self, column: Column, values: list[Any]) -> Any:
        if not column.categories:
            # A file's name is text here: bytes that are none are escaped.
            if column.dtype == "string":
                values = [None if value is None else _text(value) for value in values]
            return self._arrow.array(values, type=self._schema.field(column.name).type)
        # With all labels in the contract's order, also those that no face has.
        places = {label: place for place, label in enumerate(column.categories)}
        indices = self._arrow.array([places.get(value) for value in values], type=self._arrow.int32())
        return self._arrow.DictionaryArray.from_arrays(indices, list(column.categories))


def _arrow_type(arrow: Any, column: Column) -> Any:
    if column.categories:
        return arrow.dictionary(arrow.int32(), arrow.string())
    return {"string": arrow.string(), "Int64": arrow.int64(), "float32": arrow.float32()}[column.dtype]


def _for_pandas(of: Sequence[Column]) -> dict[str, Any]:
    """What pandas itself writes of a table, by which it reads the types of `faces_to_frame` again.

    Without it, a column of whole numbers of which some are missing is read as floats.
    """
    types = {"string": "unicode", "Int64": "int64", "float32": "float32"}
    return {
        "index_columns": [],
        "column_indexes": [],
        "columns": [
            {
                "name": column.name,
                "field_name": column.name,
                "pandas_type": "categorical" if column.categories else types[column.dtype],
                "numpy_type": "int32" if column.categories else column.dtype,
                "metadata": {"num_categories": len(column.categories), "ordered": False}
                if column.categories
                else None,
            }
            for column in of
        ],
        "pandas_version": "2.0.0",
    }


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
