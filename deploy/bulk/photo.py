"""A photo of the listing, and what became of it."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Photo:
    """An input of a run: a row of its listing."""

    number: int  # in the listing, from 0
    address: str  # an absolute path, or protocol://...; bytes that are no UTF-8 are escaped
    size: int | None  # bytes; None: the listing does not state it
    version: str | None  # what changes as the content does: an ETag, a time of modification; None: not stated
    raw: bytes | None = None  # the path's bytes where they are no UTF-8


class Status(enum.StrEnum):
    """What became of a photo."""

    DONE = "done"
    NO_FACE = "no_face"
    FAILED = "failed"


class Cause(enum.StrEnum):
    """Why a photo failed, in a word by which failures are counted."""

    UNUSABLE = "unusable"  # no picture, a broken one, too large
    GONE = "gone"
    CHANGED = "changed"
    DENIED = "denied"
    UNREADABLE = "unreadable"  # the store has it and does not give it
    DEADLY = "deadly"  # the process that answered it died, each time
    NOT_ANSWERED = "not_answered"  # the server or the network failed on it


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A photo without an answer."""

    cause: Cause
    reason: str  # one sentence, without the address


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """A photo's answer as plain data, so that it travels between processes."""

    width: int  # pixels, after EXIF rotation
    height: int
    faces_found: int
    faces_below_quality: int | None = None  # of them left out; None: the network states no quality
    faces: Sequence[Mapping[str, Any]]  # a row a face, values by column


Outcome = Answered | Failed


def status_of(outcome: Outcome) -> Status:
    """In which column of the summary it counts."""
    if isinstance(outcome, Failed):
        return Status.FAILED
    return Status.DONE if outcome.faces else Status.NO_FACE
