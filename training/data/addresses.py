"""Files at an address (s3://bucket/faces-{000..009}.tar), read as they stream in, by fsspec.

What fsspec knows can be named: s3:// with s3fs, gs:// with gcsfs, https://; and its chains, such as
filecache::s3://..., which keeps what was read. Keys and endpoints are those of the protocol's own
environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and the like), never part of an address.
"""

import contextlib
import dataclasses
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from training.data.reader import LayoutError


@dataclasses.dataclass(frozen=True)
class Address:
    """What is not on this machine. It may name several files, by {000..009}, {a,b} or *."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """Its last part."""
        return posixpath.basename(self.text.rstrip("/"))

    @property
    def stem(self) -> str:
        """The same without its suffix."""
        return posixpath.splitext(self.name)[0]


def place_of(text: str) -> Path | Address:
    """What a command line names: an address where it has ://, else a path."""
    return Address(text) if "://" in text else Path(text)


def files_of(address: Address, *, suffix: str) -> list[Address]:
    """The files that an address names, in order; those with this suffix of a folder.

    LayoutError for what can't be reached or names nothing.
    """
    import braceexpand

    found: list[Address] = []
    for text in braceexpand.braceexpand(address.text):
        if not text.endswith(suffix):
            text = f"{text.rstrip('/')}/*{suffix}"
        if "*" not in text and "?" not in text:
            found.append(Address(text))
            continue
        with _naming(address):
            files, path = _opened(text)
            there = sorted(files.glob(path))
        prefix = text[: len(text) - len(path)] if text.endswith(path) else f"{text.partition('://')[0]}://"
        found += [Address(f"{prefix}{name}") for name in there]
    if not found:
        raise LayoutError(f"{address} names no {suffix} file: check the address")
    return found


@contextlib.contextmanager
def streamed(address: Address) -> Iterator[IO[bytes]]:
    """A file's bytes from first to last, by `read` alone. LayoutError where any of it can't be read."""
    with _naming(address):
        files, path = _opened(address.text)
        file = files.open(path, "rb")
    with contextlib.closing(file):
        yield cast("IO[bytes]", _Named(file, address))


class _Named:
    """A stream whose errors name its address."""

    def __init__(self, file: IO[bytes], address: Address) -> None:
        self._file, self._address = file, address

    def read(self, size: int = -1) -> bytes:
        with _naming(self._address):
            return self._file.read(size)


def _opened(text: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    import fsspec.core

    files, path = fsspec.core.url_to_fs(text)
    return files, path


@contextlib.contextmanager
def _naming(address: Address) -> Iterator[None]:
    """LayoutError in the place of whatever the library of a protocol raises."""
    try:
        yield
    except LayoutError:
        raise
    except ImportError as error:
        raise LayoutError(
            f"{address} needs a package that is not installed ({error}): install it, or copy the files here"
        ) from None
    except FileNotFoundError:
        raise LayoutError(f"{address} does not exist: check the address") from None
    except Exception as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise LayoutError(
            f"{address} can't be read ({words[0]}): check address, keys and connection, and give the same "
            "command again"
        ) from None
