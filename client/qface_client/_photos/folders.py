"""Pictures in folders: all below one, or those that a pattern matches.

Names that begin with a dot are left out, as shells do. Links are followed, but never back into a folder that
is being walked. Of one folder the order is by name, files before folders.
"""

import dataclasses
import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from ..errors import InvalidInput

# What the server or Pillow reads, in some cases with a package more, by how files are called.
SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "tif", "tiff", "gif"),
        *("avif", "heic", "heif", "jp2", "j2k", "pbm", "pgm", "pnm", "ppm"),
    )
)

_MAGIC = re.compile(r"[*?[]")
_ANY_DEPTH = "**"

Identity = tuple[int, int]  # a folder's device and inode


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """A file, with its path below where the search began."""

    path: str
    place: PurePath


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Folder:
    path: str  # "" for the working directory, so that names in it stay bare
    place: PurePath
    above: tuple[Identity, ...]  # those it lies in, and itself


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Listing:
    files: Sequence[str]
    folders: Sequence[str]


def photo_files(folder: str | os.PathLike[str], recursive: bool = True) -> Iterator[Path]:
    """The pictures in a folder and all below it, by their suffix (.jpg, .png, .webp, .heic, ...): what
    `qface analyze FOLDER` analyses.

    Of one folder by name, files before folders; names that begin with a dot are left out; links are followed.
    `recursive`: False for those in the folder itself only. Names are read as they are taken.

    Raises InvalidInput at once for a folder that can't be read, and after the last picture where one below
    it could not be.
    """
    root = os.fsdecode(folder)
    if isinstance(listed := _listed(root), InvalidInput):
        raise listed
    return _files(root, recursive=recursive)


def _files(root: str, *, recursive: bool) -> Iterator[Path]:
    failure = None
    for below in _folders(_root(root), left_out=None):
        if isinstance(below, InvalidInput):
            failure = failure or below
            continue
        inside, listing = below
        yield from (Path(_join(inside.path, name)) for name in listing.files if is_picture(name))
        if not recursive:
            return
    if failure is not None:
        raise failure


def walk(folder: str, *, left_out: Path | None = None) -> Iterator[Found | InvalidInput]:
    """The pictures below a folder, by their suffix; InvalidInput where there are none or it can't be read.

    `left_out`: a folder that is not entered.
    """
    answered = False
    for below in _folders(_root(folder), left_out=left_out):
        if isinstance(below, InvalidInput):
            answered = True
            yield below
            continue
        inside, listing = below
        for name in listing.files:
            if is_picture(name):
                answered = True
                yield Found(path=_join(inside.path, name), place=inside.place / name)
    if not answered:
        yield InvalidInput(
            f"there is no picture in this folder nor below it (files called {_suffixes()}): name files of "
            "other names by a pattern, like 'folder/*.dat'",
            file=folder,
        )


def holds_magic(name: str) -> bool:
    """Whether a name could be a pattern."""
    return _MAGIC.search(name) is not None


def matches(pattern: str, *, left_out: Path | None = None) -> Iterator[Found | InvalidInput]:
    """The files that a shell's pattern matches, where ** stands for any number of folders.

    Only those with a picture's suffix, unless the pattern ends in a suffix of its own.
    """
    parts = re.split(r"[/\\]" if os.name == "nt" else "/", pattern)
    first = next(index for index, part in enumerate(parts) if holds_magic(part))
    folder = "/".join(parts[:first]) or ("/" if first else "")
    own_suffix = PurePath(parts[-1]).suffix
    every = bool(own_suffix) and not holds_magic(own_suffix)
    answered = False
    for found in _match(_root(folder), [part for part in parts[first:] if part], left_out=left_out):
        if isinstance(found, InvalidInput) or every or is_picture(found.path):
            answered = True
            yield found
    if not answered:
        yield InvalidInput("no picture matches this pattern: check it", file=pattern)


def _match(folder: _Folder, parts: Sequence[str], *, left_out: Path | None) -> Iterator[Found | InvalidInput]:
    part, rest = parts[0], parts[1:]
    if part == _ANY_DEPTH:
        while rest and rest[0] == _ANY_DEPTH:
            rest = rest[1:]
        for below in _folders(folder, left_out=left_out):
            if isinstance(below, InvalidInput):
                yield below
            else:
                yield from _match(below[0], rest or ("*",), left_out=left_out)
        return
    listing = _listed(folder.path, hidden=part.startswith("."))
    if isinstance(listing, InvalidInput):
        yield listing
        return
    if not rest:
        for name in fnmatch.filter(listing.files, part):
            yield Found(path=_join(folder.path, name), place=folder.place / name)
        return
    for name in fnmatch.filter(listing.folders, part):
        inner = _inner(folder, name)
        if inner is not None:
            yield from _match(inner, rest, left_out=left_out)


def _folders(root: _Folder, *, left_out: Path | None) -> Iterator[tuple[_Folder, _Listing] | InvalidInput]:
    """The folder and all below it, each before what is in it."""
    excluded = None if left_out is None else _identity(str(left_out))
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        listing = _listed(folder.path)
        if isinstance(listing, InvalidInput):
            yield listing
            continue
        yield folder, listing
        inner = (_inner(folder, name) for name in reversed(listing.folders))
        waiting += [below for below in inner if below is not None and below.above[-1] != excluded]


def _root(folder: str) -> _Folder:
    identity = _identity(folder)
    return _Folder(path=folder, place=PurePath(), above=() if identity is None else (identity,))


def _inner(folder: _Folder, name: str) -> _Folder | None:
    """A folder in another; None where it is a link back to one that it lies in, or gone."""
    path = _join(folder.path, name)
    identity = _identity(path)
    if identity is None or identity in folder.above:
        return None
    return _Folder(path=path, place=folder.place / name, above=(*folder.above, identity))


def _listed(folder: str, *, hidden: bool = False) -> _Listing | InvalidInput:
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if hidden or not entry.name.startswith("."):
                    (folders if _is_folder(entry) else files).append(entry.name)
    except OSError as error:
        return InvalidInput(f"this folder can't be read: {error.strerror or error}", file=folder or ".")
    return _Listing(files=sorted(files), folders=sorted(folders))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into what may not be looked at: an error of that file's own
        return False


def _identity(folder: str) -> Identity | None:
    try:
        status = Path(folder or ".").stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _join(folder: str, name: str) -> str:
    return os.path.join(folder, name)  # noqa: PTH118 - a Path would drop a leading "./"


def is_picture(name: str) -> bool:
    """Whether a file is a picture by its suffix."""
    return PurePath(name).suffix.lower() in SUFFIXES


def _suffixes() -> str:
    return ", ".join(("*.jpg", "*.png", "*.webp", "*.tif", "..."))
