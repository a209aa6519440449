"""File objects are read to their end or to what a server takes, and left open."""

import asyncio
import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from qface_client._photos import encode, encode_in_thread
from qface_client.errors import InvalidInput
from tests.helpers.paths import ASTRONAUT

DATA = ASTRONAUT.read_bytes()


class Endless:
    """A file object that never ends, and counts what was read."""

    def __init__(self, beginning: bytes = b"") -> None:
        self.count = 0
        self._beginning = beginning

    def read(self, size: int, /) -> bytes:
        self.count += size
        data, self._beginning = self._beginning or bytes(size), b""
        return data


class Slow:
    """Gives a few bytes at a time, as a raw socket does."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, 1000))


class Gives:
    """Gives something else than bytes, or raises it."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def read(self, size: int, /) -> Any:
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


def test_a_file_object_is_read_from_where_it_stands_and_left_open() -> None:
    opened = io.BytesIO(b"before" + DATA)
    opened.seek(6)
    assert encode(opened).data.tobytes() == DATA
    assert not opened.closed
    assert encode(Slow(DATA)).data.tobytes() == DATA


def test_an_open_file_gives_its_name(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    with path.open("rb") as opened, pytest.raises(InvalidInput, match="empty") as caught:
        encode(opened)
    assert caught.value.file == str(path)
    with ASTRONAUT.open("rb") as opened:
        assert encode(opened).file == str(ASTRONAUT)


def test_a_pipe_is_read_to_its_end() -> None:
    out, into = os.pipe()

    def write() -> None:
        with os.fdopen(into, "wb") as opened:
            opened.write(DATA)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(out, "rb") as opened:
        assert encode(opened).data.tobytes() == DATA
    writer.join()


@pytest.mark.parametrize(
    ("beginning", "limit"), [(b"\xff\xd8", 64 << 20), (b"P6\n", 150_004_096), (b"BM", 200_004_096)]
)
def test_what_never_ends_is_read_to_the_limit(beginning: bytes, limit: int) -> None:
    endless = Endless(beginning)
    with pytest.raises(InvalidInput, match=f"more than the {limit:,} bytes"):
        encode(endless)
    assert endless.count <= limit + (2 << 20)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("text", "opened as text: open it as binary"),
        (None, "no bytes yet"),
        (17, "gives int, not bytes"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (ValueError("I/O operation on closed file"), "closed file"),
        (LookupError(), "LookupError"),
        (b"", "empty"),
    ],
)
def test_a_file_object_that_fails_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        encode(Gives(value))


def test_a_reader_of_asyncio_is_refused() -> None:
    async def run() -> None:
        reader = asyncio.StreamReader()
        reader.feed_eof()
        with pytest.raises(InvalidInput, match="gives coroutine, not bytes"):
            await encode_in_thread(reader)  # type: ignore[arg-type]

    asyncio.run(run())


@pytest.mark.parametrize("kind", [bytearray, memoryview, lambda data: memoryview(data).cast("b")])
def test_any_bytes_are_taken(kind: Any) -> None:
    assert encode(kind(DATA)).data.tobytes() == DATA


def test_a_file_object_that_was_read_before_is_told_from_an_empty_one() -> None:
    used = io.BytesIO(b"\xff\xd8\xff")
    used.read()
    with pytest.raises(InvalidInput, match=r"stands at its end, as after it was read: seek\(0\) first"):
        encode(used)
    with pytest.raises(InvalidInput, match=r"empty \(0 bytes\)"):
        encode(io.BytesIO())
