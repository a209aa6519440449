"""Which pictures a command line names: files, folders, patterns, lists of paths and standard input.

Everything is looked up as it is needed: of a folder, the names of one level are held at a time.
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path, PurePath
from typing import BinaryIO

from ..._photos.folders import Found, holds_magic, matches, walk
from ...errors import InvalidInput
from .hints import hint, is_address
from .picture import Picture

__all__ = ["STANDARD_INPUT", "Inputs", "Picture", "hint"]

STANDARD_INPUT = "-"
_STANDARD_PLACE = PurePath("standard-input")
# More than a server takes of one picture: the client refuses it with a sentence of its own.
_MAX_STREAM_BYTES = 256 * 1024 * 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """The pictures of a command line, in its order.

    operands: files, folders (with all below them), patterns that no shell expanded, "-".
    files_from: a file with one path a line ("-": standard input), which come after the operands; its paths
    are files and folders, never patterns. null: a NUL stands between its paths in place of a line's end.
    left_out: a folder that is not entered when it is found in another one. done: names of pictures that are
    left out, but for standard input's.
    """

    operands: Sequence[str] = ()
    files_from: str | None = None
    null: bool = False
    left_out: Path | None = None
    done: Container[str] = frozenset()

    def mistake(self) -> str | None:
        """Why these can't be read together; None where they can."""
        streams = [*self.operands, self.files_from].count(STANDARD_INPUT)
        if not self.operands and self.files_from is None:
            return "name a PHOTO: a file, a folder, a pattern, or - for standard input"
        if streams > 1:
            return "standard input can be read once: name - once, as a PHOTO or for --files-from"
        if self.null and self.files_from is None:
            return "--null is about the list of --files-from"
        if streams and sys.stdin.isatty():
            return "- reads a picture (of --files-from, paths) from standard input, which is a terminal here"
        return None

    def count(self) -> int | None:
        """How many pictures there are where that is known without looking; None elsewhere."""
        single = all(
            name == STANDARD_INPUT or os.path.isfile(name)  # noqa: PTH113 - as below
            for name in self.operands
        )
        if not single or self.files_from is not None:
            return None
        return sum(name == STANDARD_INPUT or name not in self.done for name in self.operands)

    @property
    def can_be_read_twice(self) -> bool:
        """Whether nothing is read from standard input, which gives a list or a picture once."""
        return STANDARD_INPUT not in (*self.operands, self.files_from)

    def __iter__(self) -> Iterator[Picture | InvalidInput]:
        """Each picture; InvalidInput for a folder, pattern or list that gives none, or can't be read."""
        for found in self._all():
            if (
                isinstance(found, InvalidInput)
                or isinstance(found.photo, bytes)
                or found.name not in self.done
            ):
                yield found

    def _all(self) -> Iterator[Picture | InvalidInput]:
        for name in self.operands:
            if name == STANDARD_INPUT:
                yield Picture(
                    name=name, photo=_standard_input().read(_MAX_STREAM_BYTES), place=_STANDARD_PLACE
                )
            elif holds_magic(name) and not is_address(name) and not os.path.lexists(name):
                yield from map(_picture, matches(name, left_out=self.left_out))
            else:
                yield from self._named(name)
        if self.files_from is not None:
            yield from self._listed(self.files_from)

    def _named(self, name: str) -> Iterator[Picture | InvalidInput]:
        """A file, or what a folder holds. Whether a file is a picture is the client's to say."""
        if os.path.isdir(name):  # noqa: PTH112 - a Path raises where it may not look
            yield from map(_picture, walk(name, left_out=self.left_out))
        else:
            yield Picture(name=name, photo=name, place=PurePath(PurePath(name).name))

    def _listed(self, name: str) -> Iterator[Picture | InvalidInput]:
        with contextlib.ExitStack() as stack:
            try:
                stream = (
                    _standard_input()
                    if name == STANDARD_INPUT
                    else stack.enter_context(Path(name).open("rb"))
                )
            except OSError as error:
                yield InvalidInput(f"the list of files can't be read: {error.strerror}", file=name)
                return
            listed = False
            for path in _nul_separated(stream) if self.null else _lines(stream):
                listed = True
                yield from self._named(os.fsdecode(path))
        if not listed:
            yield InvalidInput("the list of files is empty", file=name)


def _picture(found: Found | InvalidInput) -> Picture | InvalidInput:
    if isinstance(found, InvalidInput):
        return found
    return Picture(name=found.path, photo=found.path, place=found.place)


def _standard_input() -> BinaryIO:
    return sys.stdin.buffer


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    for line in stream:
        if path := line.rstrip(b"\r\n"):
            yield path


def _nul_separated(stream: BinaryIO) -> Iterator[bytes]:
    rest = b""
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)  # what is there by now
    while block := read(1 << 16):
        *paths, rest = (rest + block).split(b"\0")
        yield from filter(None, paths)
    if rest:
        yield rest
