"""The outputs that a command line chooses."""

import argparse
import contextlib
import os
from collections.abc import Callable
from types import TracebackType

from ..._photos.folders import is_picture
from ...contract import Contract
from ...errors import InvalidInput
from . import parquet
from .answered import Answered, Output
from .comma_separated import CommaSeparated
from .drawings import Drawings
from .earlier import Earlier
from .parquet import Parquet
from .standard_output import JsonLines, Table
from .whole_file import WholeFile

STANDARD_OUTPUT = "-"


def mistake(options: argparse.Namespace) -> str | None:
    """Why these outputs can't be together; None where they can."""
    if options.json and options.csv == STANDARD_OUTPUT:
        return "--json and --csv - both go to standard output: name a file for --csv"
    if options.parquet == STANDARD_OUTPUT:
        return "--parquet is no text for standard output: name a file"
    if options.csv and options.parquet and os.path.realpath(options.csv) == os.path.realpath(options.parquet):
        return "--csv and --parquet name the same file"
    for option in ("csv", "parquet", "record"):
        if (name := getattr(options, option)) and _is_an_input(name, options):
            return f"--{option} {name} would replace a photo or the list of photos: name another file"
    if options.resume and not can_be_resumed(options):
        return "--resume goes on with one table: name its file, by --csv or by --parquet"
    return None


def _is_an_input(name: str, options: argparse.Namespace) -> bool:
    """Whether a file to be written is, or by its suffix may be, one that is read."""
    given = [*options.photos, *([options.files_from] if options.files_from else [])]
    return is_picture(name) or os.path.realpath(name) in map(os.path.realpath, given)


def can_be_resumed(options: argparse.Namespace) -> bool:
    """Whether one of the outputs is a table that a later run can go on with, and one alone."""
    return bool(options.csv) != bool(options.parquet) and options.csv != STANDARD_OUTPUT


class ChosenOutputs:
    """All outputs of one run, as a context: at its end files get their names, and none is left half written.

    What can't be written to is found when the context is entered: InvalidInput.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._files = contextlib.ExitStack()
        self._outputs: list[Output] = []
        self._csv: WholeFile | None = None
        self._parquet: WholeFile | None = None
        self._drawings: Drawings | None = None
        self.earlier: Earlier | None = None  # what `--resume` found

    def __enter__(self) -> "ChosenOutputs":
        options = self._options
        if options.parquet:
            parquet.check_installed()
        with contextlib.ExitStack() as made:
            if options.csv and options.csv != STANDARD_OUTPUT:
                self._csv = WholeFile(options.csv)
                made.callback(self._csv.discard)
            if options.parquet:
                self._parquet = WholeFile(options.parquet)
                made.callback(self._parquet.discard)
            if options.draw:
                self._drawings = Drawings(options.draw)
            self._files = made.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._files:
            for output in self._outputs:
                self._files.callback(output.close)

    @property
    def has_columns(self) -> bool:
        """Whether an output needs the contract."""
        return bool(self._options.csv or self._options.parquet)

    def begin(self, contract: Contract | None, *, report: Callable[[InvalidInput], None]) -> None:
        """Make the outputs; those with columns have the contract's, of the tasks that are asked for.

        InvalidInput for an earlier table that this run's answers do not go on with.

        `report`: what is done with the error of a drawing, which is no reason to end.
        """
        options = self._options
        if options.csv and contract is not None:
            self._add_table(CommaSeparated(self._csv, contract, options.tasks), file=self._csv)
        if options.parquet and contract is not None and self._parquet is not None:
            self._add_table(Parquet(self._parquet, contract, options.tasks), file=self._parquet)
        if self._drawings is not None:
            self._drawings.report = report
            self._outputs.append(self._drawings)
        # The last: what stands there is in all files.
        if options.json:
            self._outputs.append(JsonLines())
        elif not (options.csv or options.parquet or options.quiet):
            self._outputs.append(Table())

    def _add_table(self, table: CommaSeparated | Parquet, *, file: WholeFile | None) -> None:
        self._outputs.append(table)
        if self._options.resume and file is not None and (path := file.earlier) is not None:
            self.earlier = table.resume(path, name=file.name)

    def write(self, answered: Answered) -> None:
        """One photo's outcome, to each."""
        for output in self._outputs:
            output.write(answered)
