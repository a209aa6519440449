"""What every store does: it lists photos, reads one, and shows whether it can be reached."""

import dataclasses
import posixpath
import re
from collections.abc import Iterator
from typing import Any, Protocol

from deploy.bulk.photo import Cause, Photo

# Of one picture; what the client sends is smaller. More is not read at all.
MAX_BYTES = 512 * 1024 * 1024
MAGIC = re.compile(r"[*?[]")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A photo as a store lists it."""

    address: str
    size: int | None = None
    version: str | None = None
    raw: bytes | None = None

    def row(self) -> dict[str, Any]:
        return {"address": self.address, "size": self.size, "version": self.version, "raw": self.raw}


class NotRead(Exception):
    """A photo's bytes could not be had.

    `by_store`: the store may be gone rather than the photo, so that it is worth a look, and another try.
    `may_pass`: another try of this photo may succeed.
    """

    def __init__(self, cause: Cause, reason: str, *, by_store: bool, may_pass: bool = False) -> None:
        super().__init__(reason)
        self.cause = cause
        self.reason = reason
        self.by_store = by_store
        self.may_pass = may_pass


class Store(Protocol):
    """Photos by their addresses. Thread-safe."""

    def list(self, source: str) -> Iterator[Listed]:
        """The photos of a folder, of a pattern, or the one of this address, always in the same order.

        Refused, with a sentence, where it can't be listed.
        """
        ...

    def look_up(self, address: str) -> Listed:
        """What the listing would have of one address, which need not exist: then nothing but the address."""
        ...

    def read(self, photo: Photo) -> bytes:
        """The photo's bytes; NotRead where it is gone, was changed since it was listed, or can't be read."""
        ...

    def why_unreachable(self, root: str) -> str | None:
        """Why the folder or bucket above photos can't be reached now; None: it can."""
        ...


def changed(what: str) -> NotRead:
    """Of a photo that is not the one that was listed. `what`: "its size was 10 and is 12 bytes"."""
    return NotRead(Cause.CHANGED, f"it was changed since it was listed ({what})", by_store=False)


def gone() -> NotRead:
    """Of a photo that was listed and is there no more."""
    return NotRead(Cause.GONE, "it is gone: it was there when it was listed", by_store=True)


def check_size(photo: Photo, size: int) -> None:
    """NotRead for another size than was listed, and for more bytes than any picture has."""
    if photo.size is not None and size != photo.size:
        raise changed(f"its size was {photo.size:,} and is {size:,} bytes")
    if size > MAX_BYTES:
        raise NotRead(
            Cause.UNUSABLE,
            f"it has {size:,} bytes, more than the {MAX_BYTES:,} that are read of one photo",
            by_store=False,
        )


def root_of(source: str) -> str:
    """The folder or prefix that a source names, a pattern's up to its first wildcard."""
    if (magic := MAGIC.search(source)) is None:
        return source
    return posixpath.dirname(source[: magic.start()])


def is_hidden(path: str) -> bool:
    """Whether a name or a folder of it begins with a dot, as shells leave out."""
    return any(part.startswith(".") for part in path.split("/"))
