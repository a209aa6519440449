"""The index of a prepared set: one array a property, first axis faces, memory-mapped.

`index.npz` is an uncompressed .npz, so that each array can be mapped into memory where it lies in the
file: opening a set of ten million faces reads a few kilobytes. Every shard leaves a part of the index
beside it while the set is made, and `merge_parts` joins the parts.

Texts (`key`) are two arrays: all of them in UTF-8 behind each other, `key/bytes`, and where each ends,
`key/ends`. Texts that repeat (`person`, `subset`) are numbers (`person/code`) into such a list.
"""

import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_REPEATED = ("person", "subset")
# The value for faces of a shard without an array that other shards have, by the first part of its name.
_ABSENT = {"column": np.nan, "confidence": 1.0, "mask_offset": -1, "mask_length": 0}
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # of a member in a zip file


def pack_texts(texts: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Texts as `bytes` and `ends`."""
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    return {"bytes": np.frombuffer(b"".join(encoded), np.uint8), "ends": ends}


def unpack_texts(texts: NDArray[np.uint8], ends: NDArray[np.int64], rows: Iterable[int]) -> list[str]:
    """The texts of these rows."""
    found = []
    for row in rows:
        start = int(ends[row - 1]) if row else 0
        found.append(texts[start : int(ends[row])].tobytes().decode("utf-8", "surrogateescape"))
    return found


def merge_parts(parts: Sequence[Path], target: Path) -> None:
    """Join the shards' parts of an index into `target`, one array at a time."""
    described: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
    counts = []
    for path in parts:
        with np.load(path) as part:
            counts.append(len(part["jpg_offset"]))
            for name in part.files:
                described.setdefault(name, (part[name].dtype, part[name].shape[1:]))

    def joined(name: str) -> Iterator[NDArray[Any]]:
        dtype, shape = described[name]
        for path, count in zip(parts, counts, strict=True):
            with np.load(path) as part:
                if name in part.files:
                    yield part[name]
                else:
                    yield np.full((count, *shape), _ABSENT[name.partition("/")[0]], dtype)

    with target.open("wb") as sink:
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as file:
            _merge_into(file, described, counts=counts, joined=joined)
        sink.flush()
        os.fsync(sink.fileno())


def _merge_into(
    file: zipfile.ZipFile,
    described: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
    *,
    counts: Sequence[int],
    joined: Callable[[str], Iterator[NDArray[Any]]],
) -> None:
    total = sum(counts)
    shards = (np.full(count, i, np.int32) for i, count in enumerate(counts))
    _write(file, "shard", np.dtype(np.int32), (total,), shards)
    for name, (dtype, shape) in described.items():
        first, _, last = name.partition("/")
        if first in _REPEATED:
            if last == "ends":
                _write_codes(file, first, total=total, texts=joined(f"{first}/bytes"), ends=joined(name))
        elif last == "bytes":
            length = sum(len(piece) for piece in joined(name))
            _write(file, name, dtype, (length,), joined(name))
        elif last == "ends":
            _write(file, name, dtype, (total,), _cumulative(joined(name)))
        else:
            _write(file, name, dtype, (total, *shape), joined(name))


class FaceIndex:
    """A prepared set's arrays by name, mapped from the file on access.

    Raises ValueError for a file that is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as file:
                members = {info.filename: info.header_offset for info in file.infolist()}
        except (OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is damaged ({error}): prepare the set again") from None
        self._members = {name.removesuffix(".npy"): offset for name, offset in members.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self, first: str) -> list[str]:
        """The second parts of the array names `first/...`."""
        return [n.partition("/")[2] for n in self._members if n.partition("/")[0] == first]

    def array(self, name: str) -> NDArray[Any]:
        """A read-only view of the file."""
        with self.path.open("rb") as file:
            file.seek(self._members[name])
            header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
            file.seek(header[-2] + header[-1], 1)  # the member's name and extra field
            np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
            if 0 in shape:
                return np.zeros(shape, dtype)  # nothing to map
            return np.memmap(file, dtype=dtype, mode="r", offset=file.tell(), shape=shape)

    def texts(self, name: str, rows: Iterable[int]) -> list[str]:
        return unpack_texts(self.array(f"{name}/bytes"), self.array(f"{name}/ends"), rows)


def _write_codes(
    file: zipfile.ZipFile,
    name: str,
    *,
    total: int,
    texts: Iterator[NDArray[np.uint8]],
    ends: Iterator[NDArray[np.int64]],
) -> None:
    """Texts that repeat, as numbers into a list of those that occur, in the order of their first face."""
    known: dict[str, int] = {}
    codes = []
    for piece, piece_ends in zip(texts, ends, strict=True):
        words = unpack_texts(piece, piece_ends, range(len(piece_ends)))
        codes.append(np.array([known.setdefault(word, len(known)) for word in words], np.int32))
    _write(file, f"{name}/code", np.dtype(np.int32), (total,), codes)
    for last, array in pack_texts(known).items():
        _write(file, f"{name}/{last}", array.dtype, array.shape, [array])


def _cumulative(pieces: Iterator[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
    before = 0
    for piece in pieces:
        yield piece + before
        before += int(piece[-1]) if len(piece) else 0


def _write(
    file: zipfile.ZipFile,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    pieces: Iterable[NDArray[Any]],
) -> None:
    # The same bytes for the same set: without this, the time of day would go in.
    info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    with file.open(info, "w", force_zip64=True) as member:
        sink: IO[bytes] = member
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(sink, header)  # type: ignore[no-untyped-call]
        for piece in pieces:
            sink.write(np.ascontiguousarray(piece, dtype).tobytes())
