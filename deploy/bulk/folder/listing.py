"""The listing of a run's inputs, taken once: Parquet files of so many rows each."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from deploy.bulk.errors import Refused, Stopped
from deploy.bulk.folder.files import write_whole
from deploy.bulk.photo import Photo
from deploy.bulk.store.base import Listed

PART_ROWS = 100_000
_GROUP_ROWS = 1_000  # what is read for a chunk is not the whole part

SCHEMA = pyarrow.schema(
    [
        ("number", pyarrow.int64()),
        ("address", pyarrow.string()),
        ("size", pyarrow.int64()),
        ("version", pyarrow.string()),
        ("raw", pyarrow.binary()),
    ]
)


def write_listing(listed: Iterable[Listed], folder: Path) -> int:
    """Write the rows as they come, so that memory does not grow with them; returns how many there are.

    Stopped where the disk is full.
    """
    rows: list[dict[str, Any]] = []
    count = 0
    for item in listed:
        rows.append({"number": count, **item.row()})
        count += 1
        if len(rows) == PART_ROWS:
            _write_part(rows, folder, part=(count - 1) // PART_ROWS)
            rows = []
    if rows:
        _write_part(rows, folder, part=(count - 1) // PART_ROWS)
    return count


def _write_part(rows: list[dict[str, Any]], folder: Path, *, part: int) -> None:
    sink = pyarrow.BufferOutputStream()
    table = pyarrow.Table.from_pylist(rows, schema=SCHEMA)
    pyarrow.parquet.write_table(table, sink, row_group_size=_GROUP_ROWS, compression="zstd")
    write_whole(_part(folder, part), sink.getvalue().to_pybytes())


def _part(folder: Path, part: int) -> Path:
    return folder / f"part-{part:06d}.parquet"


class Listing:
    """The rows of a listing, read a slice at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __len__(self) -> int:
        parts = sorted(self._folder.glob("part-*.parquet"))
        if not parts:
            return 0
        last = int(parts[-1].stem.removeprefix("part-"))
        with _opened(parts[-1]) as opened:
            return last * PART_ROWS + int(opened.metadata.num_rows)

    def photos(self, *, first: int, count: int) -> Sequence[Photo]:
        """The photos of these numbers; fewer at the listing's end. Stopped where a part can't be read."""
        photos: list[Photo] = []
        end = first + count
        while first < end:
            part, start = divmod(first, PART_ROWS)
            path = _part(self._folder, part)
            if not path.exists():
                break
            rows = min(end - first, PART_ROWS - start)
            found = list(_rows(path, start=start, stop=start + rows))
            photos += found
            if len(found) < rows:
                break
            first += rows
        return photos


def _rows(path: Path, *, start: int, stop: int) -> Iterator[Photo]:
    with _opened(path) as opened:
        groups = range(start // _GROUP_ROWS, min(-(-stop // _GROUP_ROWS), opened.num_row_groups))
        if not groups:
            return
        try:
            table = opened.read_row_groups(list(groups))
        except (OSError, pyarrow.ArrowException) as error:
            raise _unreadable(path, error) from error
    skipped = groups.start * _GROUP_ROWS
    for row in table.slice(start - skipped, stop - start).to_pylist():
        yield Photo(**row)


def _opened(path: Path) -> Any:
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> Stopped:
    return Stopped(
        f"the listing {path} can't be read ({error}): bring it back, or begin again with another --output"
    )


def without_twins(listed: Iterable[Listed], *, remembered: bool) -> Iterator[Listed]:
    """Each address once.

    `remembered`: whether one can come twice, as of several sources; each takes some 80 bytes then.
    """
    seen: set[bytes] = set()
    for item in listed:
        if remembered:
            key = hashlib.blake2b(item.raw or item.address.encode(), digest_size=16).digest()
            if key in seen:
                continue
            seen.add(key)
        yield item


def at_least_one(listed: Iterable[Listed], *, named: str) -> Iterator[Listed]:
    """Refused where there is none."""
    empty = True
    for item in listed:
        empty = False
        yield item
    if empty:
        raise Refused(f"there is no picture in {named}: name a folder, a pattern or a list that has some")
