"""Each photo with its answers drawn on it, as a file in a folder."""

import collections
import contextlib
import io
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ...draw import draw_faces
from ...errors import InvalidInput
from ...results import Analysis
from ..inputs import Picture
from .answered import Answered

# In each drawing's metadata: only a file that has it is replaced by a new drawing.
_MARK = "drawn by qface"
_DESCRIPTION = 0x010E  # EXIF's, where it is in a WebP
# A photo's suffix -> its drawing's: what lost detail before is not kept as PNG, ten times as large.
_SUFFIXES = {
    ".webp": ".webp",
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".heic", ".heif", ".avif"), ".jpg"),
}
# Pictures are decoded and encoded without Python's lock.
_THREADS = 4


class Drawings:
    """A folder of drawings, which are made in threads. Raises InvalidInput where it can't be made.

    A photo that was found in a folder has its place below that folder here too. A drawing replaces an earlier
    one of the same photo, but never another file, nor a drawing of this run: its name is numbered instead.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken: set[Path] = set()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="qface-draw")
        self._begun: collections.deque[Future[InvalidInput | None]] = collections.deque()
        self.report: Callable[[InvalidInput], None] = _raise  # what is done with a drawing's error
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"can't be made into a folder for drawings: {error.strerror}", file=str(folder)
            ) from error

    def write(self, answered: Answered) -> None:
        """Begin a photo's drawing; waits where too many are under way."""
        if answered.analysis is None:
            return
        target = self.target(answered.picture)
        self._begun.append(self._pool.submit(_drawn, answered.picture, answered.analysis, target=target))
        while self._begun and (self._begun[0].done() or len(self._begun) > 2 * _THREADS):
            self._end_first()

    def close(self) -> None:
        """Finish the drawings that were begun."""
        try:
            while self._begun:
                self._end_first()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _end_first(self) -> None:
        if (error := self._begun.popleft().result()) is not None:
            self.report(error)

    def target(self, picture: Picture) -> Path:
        """The file for a photo's drawing, which no other photo gets."""
        place = self.folder / picture.place
        suffix = _SUFFIXES.get(place.suffix.lower(), ".png")
        target, number = place.with_suffix(suffix), 1
        while target in self._taken or _is_other(target, picture):
            number += 1
            target = place.with_name(f"{place.stem}-{number}{suffix}")
        self._taken.add(target)
        return target


def _raise(error: InvalidInput) -> None:
    raise error


def _drawn(picture: Picture, analysis: Analysis, *, target: Path) -> InvalidInput | None:
    """Draw; returns why it could not be done."""
    try:
        draw(picture, analysis, target=target)
    except InvalidInput as error:
        return error
    return None


def draw(picture: Picture, analysis: Analysis, *, target: Path) -> None:
    """Write one drawing; InvalidInput says why it can't be. Thread-safe."""
    photo = picture.photo
    try:
        with Image.open(io.BytesIO(photo) if isinstance(photo, bytes) else photo) as opened:
            drawn = draw_faces(opened, analysis)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"was answered, but can't be drawn on: {error}", file=picture.name) from error
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(part, **_format(target))
        part.replace(target)
    except OSError as error:
        raise InvalidInput(f"the drawing can't be written to {target}: {error}", file=picture.name) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _format(target: Path) -> dict[str, Any]:
    if target.suffix == ".jpg":
        return {"format": "JPEG", "quality": 92, "subsampling": 0, "comment": _MARK.encode()}
    if target.suffix == ".webp":
        exif = Image.Exif()
        exif[_DESCRIPTION] = _MARK
        return {"format": "WEBP", "quality": 92, "method": 1, "exif": exif}
    about = PngInfo()
    about.add_text("Comment", _MARK)
    return {"format": "PNG", "pnginfo": about, "compress_level": 3}


def _is_other(target: Path, picture: Picture) -> bool:
    """Whether there is a file that is no drawing, or the photo itself."""
    if not os.path.lexists(target):
        return False
    try:
        if isinstance(picture.photo, str) and target.samefile(picture.photo):
            return True
        with Image.open(target) as opened:
            exif = opened.getexif().get(_DESCRIPTION, "") if opened.format == "WEBP" else ""
            comment = opened.info.get("comment", opened.info.get("Comment", exif))
    except (OSError, ValueError, Image.DecompressionBombError):
        return True
    return (comment.decode(errors="replace") if isinstance(comment, bytes) else comment) != _MARK
