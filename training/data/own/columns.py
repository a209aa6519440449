"""What the columns of a table mean: where each face's picture is, what part it has, and its labels.

    path,split,person,glasses,age,attributes.Smiling
    a.jpg,train,anna,none,31,1

A column called like a task has its label, as its kind is written (training.data.labels); one called
TASK.LABEL has one of its numbers, and TASK.LABEL.x and TASK.LABEL.y a point's. An empty cell is not known.
"""

import base64
import binascii
import dataclasses
import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.image.decode import decode_image
from training.data.labels import checked
from training.data.own.source import OwnSource
from training.data.reader import LayoutError
from training.data.reader_tools.splits import name_fraction
from training.data.sample import SPLITS, BadSample, Sample
from training.kinds import kind_of
from training.tasks import CATALOGUE, Task

PATH, BYTES, SPLIT, PERSON, BOX = "path", "bytes", "split", "person", "box"
FIVE = "five_points"  # eyes, nose tip, corners of the mouth (Sample.landmarks)
CORNERS = ("x0", "y0", "x1", "y1")  # of a box, each in a column of its own
_PLAIN = (PATH, BYTES, SPLIT, PERSON, BOX, FIVE, *CORNERS)
SPLIT_WORDS = {split: split for split in SPLITS} | {
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "training": "train",
}
_FARTHEST = 1e6  # pixels: no picture is that large
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table by what they mean."""

    plain: tuple[str, ...]  # of _PLAIN
    whole: tuple[str, ...]  # tasks whose label is in one column
    parts: Mapping[str, Sequence[str]]  # task -> columns with a number of it each
    unused: Mapping[str, str]  # column -> why nothing is read from it

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that are labelled, in the catalogue's order."""
        return tuple(task for task in CATALOGUE if task in self.whole or task in self.parts)


def understood(names: Sequence[str], *, origin: str, hint: str = "") -> Columns:
    """What columns of these names mean. LayoutError without a picture's column or any label's.

    `hint` says what is lacking where none is a label's.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise LayoutError(f"{origin} has two columns called {twice[0]!r}: give each its own name")
    plain = tuple(name for name in names if name in _PLAIN)
    if PATH not in plain and BYTES not in plain:
        raise LayoutError(
            f"{origin} has no column {PATH!r} (the picture's file) or {BYTES!r} (its content): it has "
            f"{', '.join(map(repr, names)) or 'none'}"
        )
    if 0 < len(set(CORNERS) & set(plain)) < len(CORNERS):
        raise LayoutError(f"{origin} has only some of the columns {', '.join(CORNERS)}: a box has all four")
    whole, parts, unused = [], dict[str, list[str]](), dict[str, str]()
    for name in names:
        task, _, rest = name.partition(".")
        if name in _PLAIN:
            continue
        if name in CATALOGUE:
            whole.append(name)
        elif task in CATALOGUE and rest:
            _check_part(CATALOGUE[task], rest, column=name, origin=origin)
            parts.setdefault(task, []).append(name)
        else:
            near = difflib.get_close_matches(name, [*CATALOGUE, *_PLAIN], n=1, cutoff=0.75)
            unused[name] = (
                f"no task is called so (did you mean {near[0]}?)" if near else "no task is called so"
            )
    if both := sorted(set(whole) & parts.keys()):
        raise LayoutError(
            f"{origin} has {both[0]!r} whole and in parts ({parts[both[0]][0]}): keep one of the two"
        )
    if not whole and not parts and hint:
        raise LayoutError(f"{origin} has no label that is read: {hint}")
    if not whole and not parts:
        raise LayoutError(
            f"no column of {origin} is a task or TASK.LABEL (it has {', '.join(map(repr, names))}): "
            f"tasks are {', '.join(CATALOGUE)}, or yours, in a file given with --tasks"
        )
    return Columns(plain=plain, whole=tuple(whole), parts=parts, unused=unused)


def numbers_of(names: Sequence[str]) -> dict[str, int]:
    """The columns that have nothing but numbers, and how many a cell has at least."""
    counts = {BOX: 4, FIVE: 10} | dict.fromkeys(CORNERS, 1)
    for name in names:
        task, _, part = name.partition(".")
        if task in CATALOGUE and (
            part or not (kind_of(CATALOGUE[task]).exclusive or kind_of(CATALOGUE[task]).needs_places)
        ):
            counts[name] = 1
    return {name: counts[name] for name in names if name in counts}


def _check_part(task: Task, rest: str, *, column: str, origin: str) -> None:
    label, _, axis = rest.rpartition(".")
    known = rest in task.labels or (label in task.labels and axis in ("x", "y"))
    if known and not kind_of(task).needs_places:
        return
    near = difflib.get_close_matches(rest, task.labels, n=1)
    hint = f" (did you mean {task.name}.{near[0]}?)" if near else ""
    raise LayoutError(
        f"{origin} has a column {column!r}, and {task.name} has no such label{hint}: it has "
        f"{', '.join(task.labels)}"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowReader:
    """Reads a table's rows as samples."""

    columns: Columns
    root: Path  # pictures' paths are relative to it, and lead nowhere else
    default_split: str | None = None  # where no column says it; None: by a hash of the person or the picture

    def sample(self, row: Mapping[str, Any], *, number: int) -> Sample | BadSample:
        """A row's sample; a BadSample says what is wrong with the row."""
        key = _text(row.get(PATH)) or f"row {number}"
        try:
            picture, key = self._picture(row, key=key)
            box = _box(row)
            labels = self._labels(row)
            mask = self._mask(row)
            person = _text(row.get(PERSON))
            sample = Sample(
                key=key if box is None else f"{key}@{','.join(f'{edge:g}' for edge in box)}",
                picture=picture,
                labels=labels,
                split=self._split(row, key=person or key),
                person=person,
                box=box,
                landmarks=_landmarks(row),
            )
            if mask is not None:
                sample = dataclasses.replace(sample, mask_task=mask[0], mask=mask[1])
            return sample
        except OverflowError:
            reason = "one of its numbers is too large"
        except (TypeError, RecursionError) as error:
            reason = f"one of its cells has a form that nobody knows ({error})"
        except ValueError as error:
            reason = str(error)
        return _bad(key, reason, number=number)

    def _picture(self, row: Mapping[str, Any], *, key: str) -> tuple[Any, str]:
        content = row.get(BYTES)
        if content is not None and not _is_empty(content):
            data = _decoded(content)
            return (lambda: decode_image(data)), key
        if _is_empty(row.get(PATH)):
            raise ValueError(f"it has no {PATH}")
        return self._file(str(row[PATH])), key

    def _file(self, name: str) -> Path:
        path = self.root / name
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise ValueError(f"{name} leads out of {self.root}")
        try:
            path.exists()
        except OSError as error:
            raise ValueError(f"its file {shortened(name)} can't be looked for ({error.strerror})") from None
        return path

    def _split(self, row: Mapping[str, Any], *, key: str) -> str:
        word = _text(row.get(SPLIT)).lower()
        if not word:
            return self.default_split or drawn_split(key)
        split = SPLIT_WORDS.get(word)
        if split is None:
            raise ValueError(f"its {SPLIT} is {word!r}: it is one of {', '.join(SPLITS)}")
        return split

    def _labels(self, row: Mapping[str, Any]) -> dict[str, Any]:
        labels: dict[str, Any] = {}
        for name in self.columns.whole:
            task, cell = CATALOGUE[name], row.get(name)
            if kind_of(task).needs_places or _is_empty(cell):
                continue
            labels[name] = checked(name, _written(task, cell))
        for name, columns in self.columns.parts.items():
            cells = {column.partition(".")[2]: row.get(column) for column in columns}
            label = _from_parts(CATALOGUE[name], {part: c for part, c in cells.items() if not _is_empty(c)})
            if label is not None:
                labels[name] = checked(name, label)
        return {name: label for name, label in labels.items() if label is not None}

    def _mask(self, row: Mapping[str, Any]) -> tuple[str, Path] | None:
        for name in self.columns.whole:
            if kind_of(CATALOGUE[name]).needs_places and not _is_empty(row.get(name)):
                path = self._file(str(row[name]))
                if not path.is_file():
                    raise ValueError(f"its mask {row[name]} does not exist")
                return name, path
        return None


def source_of_rows(
    form: str,
    rows: Callable[[], Iterable[Mapping[str, Any] | str]],
    names: Sequence[str],
    *,
    origin: str,
    root: Path,
    split: str | None,
    hint: str = "",
) -> OwnSource:
    """A source whose faces are rows with these columns; a row that is a text says what is wrong with it.

    LayoutError and `hint` as `understood`. `split` is that of rows that state none.
    """
    columns = understood(names, origin=origin, hint=hint)
    reader = RowReader(columns=columns, root=root, default_split=split)

    def read() -> Iterator[Sample | BadSample]:
        for number, row in enumerate(rows(), 1):
            if isinstance(row, str):
                yield _bad(f"row {number}", row, number=number)
            else:
                yield reader.sample(row, number=number)

    meaning = dict.fromkeys(columns.whole, "the label")
    meaning |= {name: "a number of the label" for of_task in columns.parts.values() for name in of_task}
    meaning |= dict.fromkeys(columns.plain, "where the face is, and whose")
    meaning |= {name: f"not read: {why}" for name, why in columns.unused.items()}
    return OwnSource(
        form=form, tasks=columns.tasks, read=read, columns={name: meaning[name] for name in names}
    )


def shortened(text: str, most: int = 200) -> str:
    """A text of a table for a message: of one that is long its begin alone, and only what can be printed."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else f"{text[:most]}..."


def _bad(key: str, reason: str, *, number: int) -> BadSample:
    return BadSample(key=shortened(key), reason=f"row {number}: {shortened(reason, 400)}")


def drawn_split(name: str) -> str:
    """train, or test for about a seventh of all names: by a hash, the same in every run."""
    return "test" if name_fraction(name) < 1 / 7 else "train"


def _written(task: Task, cell: Any) -> Any:
    """A cell as the task's kind is written."""
    if isinstance(cell, str):
        text = cell.strip()
        if text[:1] in "[{":
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                raise ValueError(f"{task.name} is {text[:40]!r}, which is no JSON") from None
        cell = text
    kind = kind_of(task)
    if not kind.has_probabilities and _has_bool(cell):
        raise ValueError(f"{task.name} is {cell!r}, which is no number")
    if isinstance(cell, Decimal) and not kind.exclusive:
        cell = float(cell)
    return kind.from_cell(task, cell)


def _has_bool(cell: Any) -> bool:
    return isinstance(cell, bool) or (isinstance(cell, list) and any(map(_has_bool, cell)))


def _from_parts(task: Task, cells: Mapping[str, Any]) -> Any:
    """A label of the cells of TASK.LABEL's columns that are known; None without any."""
    if not cells:
        return None
    points: dict[str, dict[str, float]] = {}
    numbers: dict[str, float] = {}
    for part, cell in cells.items():
        label, _, axis = part.rpartition(".")
        value = _number(f"{task.name}.{part}", cell, words=kind_of(task).has_probabilities)
        if part in task.labels:
            numbers[part] = value
        else:
            points.setdefault(label, {})[axis] = value
    if points:
        return [
            [points[label]["x"], points[label]["y"]] if len(points.get(label, {})) == 2 else None
            for label in task.labels
        ]
    return kind_of(task).from_numbers(task, numbers)


def _box(row: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    corners = [row.get(name) for name in CORNERS]
    if _is_empty(row.get(BOX)) and all(_is_empty(corner) for corner in corners):
        return None
    values = (
        _numbers(row[BOX], count=4, name=BOX)
        if not _is_empty(row.get(BOX))
        else [_pixel(name, corner) for name, corner in zip(CORNERS, corners, strict=True)]
    )
    x0, y0, x1, y1 = values
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"its box {values} is empty: write x0, y0, x1, y1 with x0 < x1 and y0 < y1")
    if x1 <= 0 or y1 <= 0:
        raise ValueError(f"its box {values} lies outside of the picture: write its pixels, from 0 on")
    return x0, y0, x1, y1


def _landmarks(row: Mapping[str, Any]) -> NDArray[np.float64] | None:
    if _is_empty(row.get(FIVE)):
        return None
    values = _numbers(row[FIVE], count=10, name=FIVE)
    return np.array(values, np.float64).reshape(5, 2)


def _numbers(cell: Any, *, count: int, name: str) -> list[float]:
    """Numbers of a list, of JSON, or of a text with spaces, commas or semicolons between them."""
    if isinstance(cell, str):
        cell = (
            cell.strip(" []()")
            .replace(",", " ")
            .replace(";", " ")
            .replace("[", " ")
            .replace("]", " ")
            .split()
        )
    values = np.asarray(cell, dtype=object).reshape(-1).tolist()
    if len(values) != count:
        raise ValueError(f"its {name} has {len(values)} numbers, not {count}")
    return [_pixel(name, value) for value in values]


def _pixel(name: str, cell: Any) -> float:
    value = _number(name, cell)
    if abs(value) > _FARTHEST:
        raise ValueError(f"{name} is {value:g}, which lies in no picture")
    return value


def _number(name: str, cell: Any, *, words: bool = False) -> float:
    """A cell's number; with `words` also that of "yes", "true" and a boolean."""
    word = cell.strip().lower() if isinstance(cell, str) else cell
    if words and (word in _TRUE or word is True):
        return 1.0
    if words and (word in _FALSE or word is False):
        return 0.0
    try:
        if isinstance(word, bool):
            raise TypeError
        value = float(word)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {cell!r}, which is no number") from None
    if not np.isfinite(value):
        raise ValueError(f"{name} is {cell!r}, which is not finite")
    return value


def _decoded(content: Any) -> bytes:
    """A picture's file of a binary cell, or of base64."""
    if isinstance(content, Mapping):  # as Hugging Face's data sets have pictures
        content = content.get("bytes")
    if isinstance(content, str):
        try:
            return base64.b64decode("".join(content.split()), validate=True)
        except binascii.Error:
            raise ValueError(f"its {BYTES} are no base64") from None
    if not isinstance(content, bytes | bytearray | memoryview):
        raise ValueError(f"its {BYTES} are {shortened(repr(content))}: write a picture's file in base64")
    return bytes(content)


def _text(cell: Any) -> str:
    return "" if _is_empty(cell) else str(cell).strip()


def _is_empty(cell: Any) -> bool:
    return (
        cell is None
        or (isinstance(cell, float) and cell != cell)
        or (isinstance(cell, str) and not cell.strip())
    )
