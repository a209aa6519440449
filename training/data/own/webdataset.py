"""WebDataset's tars, here or at an address.

Of each sample they have KEY.jpg (or .png, .webp) and KEY.json, or KEY.cls with a class.
The JSON object is read as a table's row (training.data.own.columns); a class is a label of the task that
`Settings.task` names, by its name or its number.
"""

import contextlib
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.data.addresses import Address, files_of, streamed
from training.data.own.columns import BYTES, PATH, source_of_rows
from training.data.own.source import OwnSource, Settings
from training.data.reader import LayoutError
from training.data.reader_tools.source_files import PICTURE_SUFFIXES
from training.tasks import CATALOGUE

_MOST_BYTES = 64 * 1024 * 1024  # of a member


def open_webdataset(place: Path | Address, settings: Settings) -> OwnSource:
    """The samples of a tar, or of a folder's tars. LayoutError for what is damaged or labels nothing.

    Those at an address are streamed each time, and never kept.
    """
    tars: Sequence[Path | Address]
    if isinstance(place, Address):
        tars = files_of(place, suffix=".tar")
    else:
        tars = sorted(place.glob("*.tar")) if place.is_dir() else [place]
    rows = _rows(tars, settings, pictures=False)
    names = dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row)
    return source_of_rows(
        "webdataset",
        lambda: _rows(tars, settings),
        [PATH, *(name for name in names if name not in (PATH, BYTES))],
        origin=str(place),
        root=Path(str(place)),
        split=settings.split,
    )


def _rows(
    tars: Sequence[Path | Address], settings: Settings, *, pictures: bool = True
) -> Iterator[dict[str, Any] | str]:
    for path in tars:
        try:
            with _opened(path) as tar:
                yield from _samples(tar, path.name, settings, pictures=pictures)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise LayoutError(f"{path} is no whole tar ({error}): fetch it again") from None


@contextlib.contextmanager
def _opened(path: Path | Address) -> Iterator[tarfile.TarFile]:
    if isinstance(path, Path):
        with tarfile.open(path) as tar:
            yield tar
    else:
        with streamed(path) as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
            yield tar


def _samples(
    tar: tarfile.TarFile, name: str, settings: Settings, *, pictures: bool
) -> Iterator[dict[str, Any] | str]:
    """A row for each sample, whose members lie side by side; without `pictures` theirs are empty."""
    key, members = "", dict[str, bytes]()
    for member in tar:
        if not member.isfile() or member.size > _MOST_BYTES:
            continue
        folder, _, file_name = member.name.rpartition("/")
        stem, _, suffix = file_name.partition(".")
        if (found := f"{folder}/{stem}") != key:
            if members:
                yield _row(f"{name}:{key.lstrip('/')}", members, settings)
            key, members = found, {}
        suffix = suffix.lower()
        file = tar.extractfile(member) if pictures or f".{suffix}" not in PICTURE_SUFFIXES else None
        members[suffix] = b"" if file is None else file.read()
    if members:
        yield _row(f"{name}:{key.lstrip('/')}", members, settings)


def _row(key: str, members: Mapping[str, bytes], settings: Settings) -> dict[str, Any] | str:
    picture = next((members[s[1:]] for s in PICTURE_SUFFIXES if s[1:] in members), None)
    if picture is None:
        return f"{key} has no picture: it has {', '.join(members)}"
    row: dict[str, Any] = {}
    if "json" in members:
        try:
            row = dict(json.loads(members["json"]))
        except (ValueError, TypeError):
            return f"{key}.json is no JSON object"
    if "cls" in members and settings.task is not None:
        word = members["cls"].decode("utf-8", "replace").strip()
        labels = CATALOGUE[settings.task].labels if settings.task in CATALOGUE else ()
        row[settings.task] = labels[int(word)] if word.isdecimal() and int(word) < len(labels) else word
    return {**row, PATH: key, BYTES: picture}
