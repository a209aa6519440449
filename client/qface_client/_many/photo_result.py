"""The result of one photo of many, and the bounds of how many are in hand."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from .._photos import Photo
from ..errors import InvalidInput, QFaceError
from ..results import Analysis, Face


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhotoResult:
    """One photo of `analyze_many`: its faces, or the error that it met."""

    index: int  # of the photo in the iterable, from 0
    photo: Photo  # as it was given: of a path nothing else is kept
    analysis: Analysis | None  # None: see `error`
    error: QFaceError | None

    @property
    def faces(self) -> tuple[Face, ...]:
        """The photo's faces, best score first; raises the photo's error where it has one."""
        if self.analysis is None:
            raise self.error or AssertionError("a result has an analysis or an error")
        return self.analysis.faces

    def __repr__(self) -> str:
        """Without the photo, unless it has a name."""
        photo = f"{os.fsdecode(self.photo)!r}, " if isinstance(self.photo, str | os.PathLike) else ""
        return f"PhotoResult({self.index}, {photo}{self.error or self.analysis!r})"


def failed(index: int, photo: Photo, error: QFaceError) -> PhotoResult:
    """The result of a photo that met an error, which does not keep the frames that had the photo's bytes."""
    linked: BaseException | None = error
    while linked is not None:
        linked.__traceback__ = None
        linked = linked.__cause__ or linked.__context__
    return PhotoResult(index=index, photo=photo, analysis=None, error=error)


def photos_in_hand(concurrency: int, *, ordered: bool) -> int:
    """How many photos are drawn and not given back yet, at most.

    In order, one that takes long holds up those behind it: as many again may be done and wait.
    """
    return 2 * concurrency if ordered else concurrency


def check_many(photos: Any, *, concurrency: Any, awaited: bool) -> None:
    """InvalidInput for one photo where many are expected, and for what is no concurrency.

    `awaited`: an async iterable is one too.
    """
    if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
        raise InvalidInput(f"concurrency is a whole number of 1 or more, not {concurrency!r}")
    one_photo = isinstance(photos, str | bytes | bytearray | memoryview) or hasattr(photos, "read")
    if one_photo or 0 < getattr(photos, "ndim", 4) < 4:
        raise InvalidInput(
            f"photos is an iterable of photos, not one photo ({type(photos).__name__}): use analyze, or give "
            "[photo]; of a folder, qface_client.photo_files(folder)"
        )
    if not hasattr(photos, "__iter__") and not (awaited and hasattr(photos, "__aiter__")):
        hint = ": AsyncFaceClient takes it" if hasattr(photos, "__aiter__") else ""
        if isinstance(photos, os.PathLike):
            hint = ": give [photo] of a picture, and qface_client.photo_files(folder) of a folder"
        raise InvalidInput(f"photos is an iterable of photos, not {type(photos).__name__}{hint}")


class InOrder:
    """Results in the order of their photos, from the order in which they complete."""

    def __init__(self) -> None:
        self._waiting: dict[int, PhotoResult] = {}
        self._next = 0

    def ready(self, result: PhotoResult) -> Iterator[PhotoResult]:
        """Those whose turn it is now that this one is there."""
        self._waiting[result.index] = result
        while self._next in self._waiting:
            self._next += 1
            yield self._waiting.pop(self._next - 1)
