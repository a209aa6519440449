"""Files of this machine, or of a volume that is mounted here."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from deploy.bulk.errors import Refused
from deploy.bulk.photo import Cause, Photo
from deploy.bulk.store.base import MAGIC, Listed, NotRead, changed, check_size, gone
from qface_client._photos.folders import Found, matches, walk
from qface_client.errors import InvalidInput

# What another try may mend: a volume that comes back, too many files open at once.
_MAY_PASS = frozenset(
    {"EIO", "ESTALE", "ETIMEDOUT", "EHOSTDOWN", "ENOTCONN", "ECONNRESET", "EMFILE", "ENFILE", "ENOMEM"}
)


class LocalStore:
    """Photos by absolute paths; the time of modification is their version."""

    def list(self, source: str) -> Iterator[Listed]:
        path = Path(os.path.abspath(_plain(source)))  # noqa: PTH100 - resolve() would follow links
        if MAGIC.search(str(path)) and not path.exists():
            found: Iterator[Found | InvalidInput] = matches(str(path))
        elif path.is_dir():
            found = walk(str(path))
        elif path.exists():
            yield self.look_up(str(path))
            return
        else:
            raise Refused(f"{source} does not exist: check the path")
        for item in found:
            if isinstance(item, InvalidInput):
                raise Refused(str(item))
            yield self.look_up(item.path)

    def look_up(self, address: str) -> Listed:
        path = os.path.abspath(_plain(address))  # noqa: PTH100
        raw = os.fsencode(path)
        try:
            text, kept = raw.decode(), None
        except UnicodeDecodeError:
            text, kept = raw.decode(errors="backslashreplace"), raw
        try:
            status = os.stat(raw)  # noqa: PTH116 - bytes are no Path
        except (OSError, ValueError):
            return Listed(address=text, raw=kept)
        return Listed(address=text, size=status.st_size, version=_version(status), raw=kept)

    def read(self, photo: Photo) -> bytes:
        try:
            if not stat.S_ISREG(
                Path(_path(photo)).stat().st_mode
            ):  # opening a pipe would wait for its writer
                raise NotRead(Cause.UNREADABLE, "it is no regular file", by_store=False)
            with Path(_path(photo)).open("rb") as opened:
                self._check(photo, os.fstat(opened.fileno()))
                data = opened.read()
                self._check(photo, os.fstat(opened.fileno()))  # and not while it was read
        except FileNotFoundError:
            raise gone() from None
        except PermissionError:
            raise NotRead(Cause.DENIED, "this user may not read it", by_store=True) from None
        except (OSError, ValueError) as error:
            name = errno.errorcode.get(getattr(error, "errno", None) or 0, "")
            raise NotRead(
                Cause.UNREADABLE,
                f"it can't be read ({getattr(error, 'strerror', None) or error})",
                by_store=True,
                may_pass=name in _MAY_PASS,
            ) from None
        return data

    def why_unreachable(self, root: str) -> str | None:
        folder = Path(_plain(root))
        try:
            with os.scandir(folder) as entries:
                # What a volume that was unmounted leaves is an empty folder.
                return None if any(entries) else f"{folder} is empty"
        except OSError as error:
            return f"{folder} can't be read ({error.strerror or error})"

    def _check(self, photo: Photo, status: os.stat_result) -> None:
        check_size(photo, status.st_size)
        if photo.version is not None and photo.version != _version(status):
            raise changed("its time of modification is another one")


def _version(status: os.stat_result) -> str:
    return f"mtime:{status.st_mtime_ns}"


def _plain(address: str) -> str:
    return address.removeprefix("file://").removeprefix("local://")


def _path(photo: Photo) -> str:
    return photo.address if photo.raw is None else os.fsdecode(photo.raw)
