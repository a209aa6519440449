"""The bytes of files and of file objects, of which no more is read than a server takes."""

import inspect
import os
import stat
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from .formats import HEAD, foreign_format, is_ppm
from .kinds import Readable
from .pixels import MAX_PIXELS

# What the server takes of one picture; more is refused here, before it fills memory on both sides.
MAX_FILE_BYTES = 64 * 1024 * 1024
_MAX_PPM_BYTES = 3 * MAX_PIXELS + 4096
# Of a file that is decoded here, which may be raw pixels with an alpha channel.
_MAX_FOREIGN_BYTES = 4 * MAX_PIXELS + 4096
_CHUNK = 1024 * 1024


def largest(head: bytes) -> int:
    """How many bytes a picture that begins so may have."""
    if is_ppm(head):
        return _MAX_PPM_BYTES
    return _MAX_FOREIGN_BYTES if foreign_format(head) else MAX_FILE_BYTES


def check_bytes(data: memoryview, *, file: str | None = None) -> None:
    """InvalidInput for no bytes, and for more than a server takes."""
    _check_size(data.nbytes, head=bytes(data[:HEAD]), file=file)


def read_file(name: str) -> bytes:
    """The bytes of a picture file; InvalidInput where there are none, or too many."""
    try:
        status = Path(name).stat()
        # A pipe or a device might never end.
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise InvalidInput(
                f"can't be read: it is {kind}; name a picture file, or give its bytes or a file object",
                file=name,
            )
        with Path(name).open("rb") as opened:
            _check_size(status.st_size, head=opened.read(HEAD), file=name)
            opened.seek(0)
            return opened.read()
    except OSError as error:
        raise InvalidInput(f"can't be read: {error.strerror or error}", file=name) from error
    except ValueError as error:  # a NUL, or characters that this machine's file names can't have
        raise InvalidInput(f"{name!r} can't be the name of a file ({error}): check it") from error


def read_object(opened: Readable, *, file: str | None) -> bytes:
    """What a file object has from where it stands; it is left open.

    InvalidInput where it fails, is no binary one, or has none or too many bytes: one that never ends is not
    read further than that.
    """
    data = bytearray()
    while more := _read(opened, file=file):
        data += more
        if len(data) > (limit := largest(bytes(data[:HEAD]))):
            raise InvalidInput(
                f"the picture has more than the {limit:,} bytes that the server takes: send a smaller copy",
                file=file,
            )
    if not data and _stands_behind_data(opened):
        raise InvalidInput(
            "the file object stands at its end, as after it was read: seek(0) first", file=file
        )
    _check_size(len(data), head=bytes(data[:HEAD]), file=file)
    return bytes(data)


def _stands_behind_data(opened: Any) -> bool:
    try:
        return bool(opened.tell() > 0)
    except Exception:  # a pipe, or an object that has only read()
        return False


def name_of(opened: Any) -> str | None:
    """The file name of a file object, where it has one."""
    name = getattr(opened, "name", None)
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else None


def _read(opened: Any, *, file: str | None) -> bytes:
    try:
        data = opened.read(_CHUNK)
    except Exception as error:  # its own, of any sort
        raise InvalidInput(f"can't be read: {str(error) or type(error).__name__}", file=file) from error
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    if inspect.iscoroutine(data):
        data.close()
    cause = {
        str: "it is opened as text: open it as binary ('rb')",
        type(None): "it has no bytes yet: open it as blocking",
    }.get(type(data), f"its read() gives {type(data).__name__}, not bytes: give what it reads")
    raise InvalidInput(f"the file object can't be read: {cause}", file=file)


def _check_size(size: int, *, head: bytes, file: str | None) -> None:
    if not size:
        raise InvalidInput("the picture is empty (0 bytes): check how it was written", file=file)
    if size > (limit := largest(head)):
        raise InvalidInput(
            f"the picture is {size:,} bytes, more than the {limit:,} that the server takes: send a smaller "
            "copy",
            file=file,
        )
