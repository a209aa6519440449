"""WebDataset's tars, here or at an address.

Of each sample they have KEY.jpg (or .png, .webp) and KEY.json, or KEY.cls with a class.
The JSON object is read as a table's row (training.data.own.columns); a class is a label of the task that
`Settings.task` names, by its name or its number.
"""

import bz2
import contextlib
import dataclasses
import gzip
import json
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tarfile import EOFHeaderError  # type: ignore[attr-defined]  # typeshed lacks it
from typing import IO, Any, Self, cast

from training.data.addresses import Address, files_of, streamed
from training.data.own.columns import BYTES, PATH, source_of_rows
from training.data.own.source import OwnSource, Settings
from training.data.reader import LayoutError
from training.data.reader_tools.source_files import PICTURE_SUFFIXES
from training.tasks import CATALOGUE

_MOST_BYTES = 64 * 1024 * 1024  # of a member
_CLASS = "cls"
_COMPRESSED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))


def open_webdataset(place: Path | Address, settings: Settings) -> OwnSource:
    """The samples of a tar, or of a folder's tars. LayoutError for what is damaged or labels nothing.

    Those at an address are streamed each time, and never kept.
    """
    tars: Sequence[Path | Address]
    if isinstance(place, Address):
        tars = files_of(place, suffix=".tar")
    else:
        there = [path for path in place.glob("*.tar") if not path.name.startswith(".")]
        tars = sorted(there) if place.is_dir() else [place]
    rows = _rows(tars, settings, pictures=False)
    names = dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row)
    classes = "its .cls files are classes: say with --task of which task"
    source = source_of_rows(
        "webdataset",
        lambda: _rows(tars, settings),
        [PATH, *(name for name in names if name not in (PATH, BYTES))],
        origin=str(place),
        root=Path(str(place)),
        split=settings.split,
        hint=classes if _CLASS in names and settings.task is None else "",
    )
    if _CLASS in names and settings.task is None:
        source = dataclasses.replace(source, columns={**source.columns, _CLASS: f"not read: {classes}"})
    return source


def _rows(
    tars: Sequence[Path | Address], settings: Settings, *, pictures: bool = True
) -> Iterator[dict[str, Any] | str]:
    for path in tars:
        try:
            with _opened(path) as tar:
                yield from _samples(tar, path.name, settings, pictures=pictures)
        except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            words = str(error).strip().splitlines() or [type(error).__name__]
            raise LayoutError(f"{path} is no whole tar ({words[0]}): fetch it again") from None


class _Member(tarfile.TarInfo):
    """A header; tarfile alone takes a damaged one, or a file that just stops, as a tar's end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except EOFHeaderError:  # the block of zeros that ends a tar
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None


@contextlib.contextmanager
def _opened(place: Path | Address) -> Iterator[tarfile.TarFile]:
    """A tar, compressed or not. Once its members were read, what is left, with a checksum, is read too."""
    with place.open("rb") if isinstance(place, Path) else streamed(place) as file:
        begin = file.read(6)
        compressed = next((opened for magic, opened in _COMPRESSED if begin.startswith(magic)), None)
        if isinstance(place, Path):
            file.seek(0)
        else:
            file = cast("IO[bytes]", _Again(begin, file))
        stream = file if compressed is None else cast("IO[bytes]", compressed(file))
        # A local tar that is not compressed is read by leaps: without the pictures that nobody wants.
        by_leaps = isinstance(place, Path) and compressed is None
        with tarfile.open(fileobj=stream, mode="r:" if by_leaps else "r|", tarinfo=_Member) as tar:
            yield tar
        while compressed is not None and stream.read(1 << 20):
            pass


class _Again:
    """A stream whose first bytes, which were read already, come again."""

    def __init__(self, begin: bytes, rest: IO[bytes]) -> None:
        self._begin, self._rest = begin, rest

    def read(self, size: int = -1) -> bytes:
        if not self._begin:
            return self._rest.read(size)
        first = self._begin if size < 0 else self._begin[:size]
        self._begin = self._begin[len(first) :]
        return first + self._rest.read() if size < 0 else first


def _samples(
    tar: tarfile.TarFile, name: str, settings: Settings, *, pictures: bool
) -> Iterator[dict[str, Any] | str]:
    """A row for each sample, whose members lie side by side; without `pictures` theirs are empty."""
    key, members = "", dict[str, bytes]()
    for member in tar:
        if not member.isfile() or member.size > _MOST_BYTES:
            continue
        folder, _, file_name = member.name.rpartition("/")
        if file_name.startswith("._"):  # macOS's, beside each file
            continue
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
    row: Any = {}
    if "json" in members:
        try:
            row = json.loads(members["json"])
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            return f"{key}.json is no JSON object"
    if _CLASS in members:
        word = members[_CLASS].decode("utf-8", "replace").strip()
        labels = CATALOGUE[settings.task].labels if settings.task in CATALOGUE else ()
        by_number = {str(i): label for i, label in enumerate(labels)}
        row[settings.task or _CLASS] = by_number.get(word, word)
    return {**row, PATH: key, BYTES: picture}
