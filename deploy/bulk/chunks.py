"""Chunks of the listing: what a worker gets, and what it gives back."""

import dataclasses
from collections.abc import Sequence

from deploy.bulk.photo import Photo


@dataclasses.dataclass(frozen=True, kw_only=True)
class Todo:
    """A chunk that is to be computed."""

    chunk: int
    only: frozenset[int] | None = (
        None  # the numbers of its photos that failed before; None: all are to be answered
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """The photos of a chunk that are to be answered: all, or those that failed."""

    chunk: int
    photos: Sequence[Photo]
    of_all: bool = True  # False: the chunk's other photos are answered already


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """Photos by what became of them, and their faces."""

    done: int = 0
    no_face: int = 0
    failed: int = 0
    faces: int = 0

    @property
    def photos(self) -> int:
        return self.done + self.no_face + self.failed

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            done=self.done + other.done,
            no_face=self.no_face + other.no_face,
            failed=self.failed + other.failed,
            faces=self.faces + other.faces,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
    """A chunk's results as two Parquet files."""

    chunk: int
    photos: bytes  # one row a photo
    faces: bytes  # one row a face
    counts: Counts
    of_all: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unfinished:
    """Why a chunk, and so the run, can't go on now."""

    chunk: int
    reason: str  # a sentence


Result = Finished | Unfinished
