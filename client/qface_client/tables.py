"""Answers as a table with one row a face: plain rows, or a pandas DataFrame.

    frame = faces_to_frame(client.analyze_many(paths), empty=True)
    frame.groupby("expression", observed=True)["age"].mean()

Which columns a task has is its kind's business (`columns` of `qface_client.kinds`): a label and
probabilities, active labels in one text ("AU6|AU12"), a number, coordinates, the areas' shares of a mask.
Numbers are those of the answer; `Column.digits` is how many digits `qface analyze --json` prints of them.
"""

import array
import functools
import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .contract import Contract, TaskSpec
from .errors import InvalidInput, QFaceError
from .kinds import KINDS
from .kinds.base import Column
from .results import Analysis, Face

if TYPE_CHECKING:
    import pandas

__all__ = ["Column", "PhotoOutcome", "columns", "faces_to_frame", "rows"]

_BOX = ("box.x0", "box.y0", "box.x1", "box.y1")
_OF_PHOTO = (
    Column(name="file", dtype="string"),  # as it was named; missing for photos that are no files
    Column(name="photo", dtype="Int64"),  # which of the photos, from 0
    Column(name="width", dtype="Int64"),  # in pixels
    Column(name="height", dtype="Int64"),
    Column(name="faces_found", dtype="Int64"),
    Column(name="contract", dtype="string"),  # the hash of the one by which tasks were answered
    Column(name="error", dtype="string"),  # why the photo was not answered
)
_OF_FACE = (
    Column(name="face", dtype="Int64"),  # which of the photo's faces, from 0, best score first
    *(Column(name=name, dtype="float32", digits=2) for name in _BOX),
    Column(name="score", dtype="float32", digits=4),
)
# Of a server that states how well a face can be judged; each stands behind another column.
_BELOW = Column(name="faces_below_quality", dtype="Int64")  # of the photo's, which are left out
_QUALITY = Column(name="quality", dtype="float32", digits=4)
_BEHIND = {"faces_found": _BELOW, "score": _QUALITY}


class PhotoOutcome(Protocol):
    """What became of one of many photos, as `analyze_many` returns it."""

    @property
    def index(self) -> int:
        """Which of the photos, from 0."""
        ...

    @property
    def photo(self) -> Any:
        """As it was given; a path is named in the table."""
        ...

    @property
    def analysis(self) -> Analysis | None:
        """Its faces; None where it failed."""
        ...

    @property
    def error(self) -> QFaceError | None:
        """Why it failed; None where it was answered."""
        ...


def columns(contract: Contract | None, tasks: Iterable[str] | None = None) -> tuple[Column, ...]:
    """The columns of faces answered by a contract: of their photo, of their place, of the tasks.

    `tasks`: of the contract's; None: all that this client can read. `contract`: None where no task is
    answered. UnknownTask and UnknownKind as of `Contract.select`.
    """
    selected = () if contract is None else contract.select(tasks)
    rated = _rated(contract, [task.name for task in selected])
    about = {column.name: column for column in (*_OF_PHOTO, *_OF_FACE, *rated)}
    of_tasks = (column for task in selected for column in _columns_of(task))
    return (*(about[name] for name in _in_order(about)), *of_tasks)


def rows(
    answered: Analysis | Face | QFaceError, *, file: str | None = None, photo: int = 0, empty: bool = False
) -> Iterator[dict[str, Any]]:
    """A row for each face of a photo, or of a face: plain values by column, those of answered tasks only.

    A photo without a face and one that failed (given by its error) have no row; with `empty` they have one,
    whose values are None but for those of the photo.
    """
    about = dict.fromkeys(column.name for column in (*_OF_PHOTO, *_OF_FACE))
    about |= {"file": file, "photo": photo}
    if isinstance(answered, QFaceError):
        about["error"] = str(answered)
    else:
        about["contract"] = None if answered.contract is None else answered.contract.hash
        if answered.contract is not None and answered.contract.quality is not None:
            about[_BELOW.name] = getattr(answered, _BELOW.name, None)
    if isinstance(answered, Analysis):
        about |= {name: getattr(answered, name) for name in ("width", "height", "faces_found")}
    faces = answered if isinstance(answered, Analysis) else [answered] if isinstance(answered, Face) else ()
    for index, face in enumerate(faces):
        box = dict(zip(_BOX, face.box, strict=True))
        yield {**about, "face": index, **box, "score": face.score, **_cells(face)}
    if empty and not faces:
        yield about


def faces_to_frame(
    results: Iterable[PhotoOutcome | Analysis | Face | tuple[str, Analysis | QFaceError]],
    *,
    empty: bool = False,
) -> "pandas.DataFrame":
    """A DataFrame with one row a face, sorted by photo. Needs pandas: `pip install "qface-client[frame]"`.

    `results`: what `analyze_many` returns, analyses, faces (of `analyze_crops`), or pairs of a name and an
    analysis or its error.

    `empty`: also a row for each photo without a face and for each that failed, with missing values, the
    latter with the reason in `error` (`frame[frame["face"].isna()]` are these rows). Without it a warning
    states how many failed.

    InvalidInput where `results` are no iterable of these: of one photo give [result].

    A photo that was answered by another contract than the others, as after a change of the server's model,
    has missing values in the columns that its contract does not have.
    """
    _check_several(results)
    pandas = _pandas()
    table, failed, number = _Table(), 0, 0
    for number, result in enumerate(results, start=1):
        answered, file, photo = _outcome(result, number - 1)
        failed += isinstance(answered, QFaceError)
        if isinstance(answered, Analysis):
            table.add_columns(answered.contract, ())
        for face in answered if isinstance(answered, Analysis) else [answered]:
            if isinstance(face, Face):
                table.add_columns(face.contract, face.answers)
        for row in rows(answered, file=file, photo=photo, empty=empty):
            table.add(row)
    if failed and not empty:
        warnings.warn(
            f"{failed} of {number} photos failed and have no row: pass empty=True for rows with their errors",
            stacklevel=2,
        )
    return table.frame(pandas)


def _check_several(results: object) -> None:
    one = isinstance(results, Face | Mapping | str) or hasattr(results, "analysis")
    if one or not hasattr(results, "__iter__"):
        hint = "of one photo give [result]"
        if hasattr(results, "__aiter__"):
            hint = "collect them first, [result async for result in results]"
        elif isinstance(results, Mapping):
            hint = f"{hint}, where {_OF_DATA}"
        raise InvalidInput(f"results are an iterable of results, not one {type(results).__name__}: {hint}")


_OF_DATA = "of data a result is Analysis.from_dict(data, contract)"


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError('faces_to_frame needs pandas: pip install "qface-client[frame]"') from error
    return pandas


def _outcome(
    result: PhotoOutcome | Analysis | Face | tuple[str, Analysis | QFaceError], number: int
) -> tuple[Analysis | Face | QFaceError, str | None, int]:
    """What was answered, or the error; the photo's file, and its number."""
    if isinstance(result, Analysis | Face):
        return result, None, number
    if isinstance(result, tuple):
        name, answered = result
        return answered, os.fsdecode(name), number
    if not hasattr(result, "analysis"):
        raise InvalidInput(
            "a result is what analyze_many returns, an analysis, a face, or a pair of a name and an analysis,"
            f" not {type(result).__name__}" + (f": {_OF_DATA}" if isinstance(result, Mapping) else "")
        )
    outcome = result.analysis if result.error is None else result.error
    if outcome is None:
        raise ValueError(f"photo {result.index} has neither an analysis nor an error")
    file = os.fsdecode(result.photo) if isinstance(result.photo, str | os.PathLike) else None
    return outcome, file, result.index


@functools.lru_cache(maxsize=256)
def _columns_of(task: TaskSpec) -> tuple[Column, ...]:
    return tuple(KINDS[task.kind].columns(task))


def _answered(contract: Contract | None, names: Collection[str]) -> Iterator[TaskSpec]:
    return (task for task in (contract.tasks if contract else ()) if task.name in names)


def _rated(contract: Contract | None, tasks: Collection[str]) -> list[Column]:
    """What a table has of quality, by a contract, where these tasks are answered."""
    if contract is None or contract.quality is None:
        return []
    return [_BELOW, _QUALITY] if contract.quality.task in tasks else [_BELOW]


def _in_order(names: Iterable[str]) -> list[str]:
    """Names of columns, each of those of quality in its place."""
    given = dict.fromkeys(names)
    moved = {column.name for column in _BEHIND.values()}
    ordered: list[str] = []
    for name in given:
        if name not in moved:
            ordered.append(name)
            behind = _BEHIND.get(name)
            ordered += [behind.name] if behind is not None and behind.name in given else []
    return ordered


def _cells(face: Face) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    if _QUALITY in _rated(face.contract, face.answers):
        cells[_QUALITY.name] = face.quality
    for task in _answered(face.contract, face.answers):
        values = face.answers[task.name].cells(task)
        cells.update((column.name, value) for column, value in zip(_columns_of(task), values, strict=True))
    return cells


class _Table:
    """Columns that grow by rows; numbers are held as compactly as they are answered."""

    def __init__(self) -> None:
        self._columns: dict[str, Column] = {column.name: column for column in (*_OF_PHOTO, *_OF_FACE)}
        self._values: dict[str, Any] = {name: _no_values(column) for name, column in self._columns.items()}
        self._count = 0
        self._seen: set[tuple[str, ...]] = set()  # contracts with the tasks that faces were asked for

    def add_columns(self, contract: Contract | None, tasks: Collection[str]) -> None:
        """Those of the tasks that a face was asked for."""
        asked = ("" if contract is None else contract.hash, *tasks)
        if asked not in self._seen:
            self._seen.add(asked)
            of_tasks = (column for task in _answered(contract, tasks) for column in _columns_of(task))
            for column in (*_rated(contract, tasks), *of_tasks):
                self._add_column(column)

    def _add_column(self, column: Column) -> None:
        known = self._columns.setdefault(column.name, column)
        if known is column:
            self._values[column.name] = _no_values(column)
            self._values[column.name].extend([_missing(column)] * self._count)
        elif known.dtype != column.dtype:  # a task of this name is of another kind in another contract
            self._columns[column.name] = Column(name=column.name, dtype="object")
            self._values[column.name] = list(self._values[column.name])
        elif known.categories != column.categories:
            categories = tuple(dict.fromkeys((*known.categories, *column.categories)))
            self._columns[column.name] = Column(name=column.name, dtype="category", categories=categories)

    def add(self, row: dict[str, Any]) -> None:
        for name, column in self._columns.items():
            value = row.get(name)
            self._values[name].append(_missing(column) if value is None else value)
        self._count += 1

    def frame(self, pandas: Any) -> "pandas.DataFrame":
        series = {
            name: _series(pandas, self._columns[name], self._values[name])
            for name in _in_order(self._columns)
        }
        # Results of many photos come as they are ready.
        return pandas.DataFrame(series).sort_values("photo", kind="stable", ignore_index=True)


def _no_values(column: Column) -> Any:
    return array.array("f") if column.dtype == "float32" else []


def _missing(column: Column) -> Any:
    return float("nan") if column.dtype == "float32" else None


def _series(pandas: Any, column: Column, values: Any) -> Any:
    """The column's values as pandas holds them."""
    if column.dtype == "category":
        return pandas.Categorical(values, categories=column.categories)
    if column.dtype == "float32":
        return np.array(values, np.float32)
    return pandas.array(values, dtype=column.dtype)
