"""Glint360K and its kin: faces without labels in MXNet's record format, for pretraining.

An et al., Partial FC: Training 10 Million Identities on a Single Machine, 2021: 17,091,657 aligned faces
(112 x 112) of 360,232 people. Q-Face, section 4.1, pretrains on them. The format, from MXNet's
recordio.h and recordio.py:

  train.idx   a line a record: its number, a tab, its offset in train.rec
  train.rec   records: magic 0xced7230a, then a word whose upper 3 bits are 0 for a whole record, 1 for a
              first, 2 for a middle and 3 for a last part, and whose lower 29 bits are the length of what
              follows, padded to 4 bytes. A record is cut where its data has the magic itself.
  a record    flag (uint32), label (float32), two ids (uint64); `flag` more labels (float32) if it is
              not 0; then the JPEG. Records without a picture describe the set and each person.
"""

import contextlib
import dataclasses
import io
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from runtime.image.decode import decode_image
from training.data.reader import Expected, LayoutError, Reader
from training.data.reader_tools.source_files import find_path
from training.data.sample import BadSample, Sample

_MAGIC = 0xCED7230A
_WORDS = struct.Struct("<II")
_FIELDS = struct.Struct("<IfQQ")
_LABEL = struct.Struct("<f")
_WHOLE, _FIRST, _LAST = 0, 1, 3
# The five points that such pictures were aligned to (insightface's template for 112 x 112).
_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
_ALIGNED = (112, 112)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordHeader:
    """The fields of a record before its picture."""

    label: float  # the person's number
    has_picture: bool
    start: int  # bytes of the record before the picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordPicture:
    """A picture in a record file, opened when it is called; it can be pickled."""

    path: Path
    offset: int

    def __call__(self) -> NDArray[np.uint8]:
        """RGB [H, W, 3]; InvalidInput or ValueError for bytes that are no picture, OSError for a bad disk."""
        with self.path.open("rb") as file:
            record = read_record(file, self.offset)
        return decode_image(record[_header(record, length=len(record)).start :])


def read_record(file: BinaryIO, offset: int) -> bytes:
    """The record at `offset`, put together from its parts; ValueError where there is none."""
    file.seek(offset)
    parts = []
    while True:
        kind, length = _part(file.read(_WORDS.size), offset=offset)
        part = file.read(length)
        if len(part) < length:
            raise ValueError(f"the record at byte {offset} is cut short")
        parts.append(part)
        if kind in (_WHOLE, _LAST):
            return struct.pack("<I", _MAGIC).join(parts)
        file.seek(-length % 4, os.SEEK_CUR)


def read_header(file: BinaryIO | io.FileIO, offset: int) -> RecordHeader:
    """The header of the record at `offset`, without reading its picture; ValueError where there is none."""
    file.seek(offset)
    start = file.read(_WORDS.size + _FIELDS.size + _LABEL.size)
    kind, length = _part(start[: _WORDS.size], offset=offset)
    if kind not in (_WHOLE, _FIRST):
        raise ValueError(f"no record begins at byte {offset}")
    header = _header(start[_WORDS.size :][:length], length=length)
    # A record in parts is a long one, whatever length its first part has.
    return dataclasses.replace(header, has_picture=True) if kind == _FIRST else header


def _part(words: bytes, *, offset: int) -> tuple[int, int]:
    """Which part of a record follows, and its length."""
    if len(words) < _WORDS.size or _WORDS.unpack(words)[0] != _MAGIC:
        raise ValueError(f"no record begins at byte {offset}")
    word = _WORDS.unpack(words)[1]
    return word >> 29, word & ((1 << 29) - 1)


def _header(record: bytes, *, length: int) -> RecordHeader:
    """From the first bytes of a record of `length` bytes."""
    if len(record) < _FIELDS.size:
        raise ValueError("a record is shorter than its header")
    flag, label, _, _ = _FIELDS.unpack_from(record)
    start = _FIELDS.size + flag * _LABEL.size
    if flag and len(record) >= _FIELDS.size + _LABEL.size:
        (label,) = _LABEL.unpack_from(record, _FIELDS.size)
    if not math.isfinite(label):
        raise ValueError("a record's label is no number")
    return RecordHeader(label=label, has_picture=length > start, start=start)


def read(source: Path) -> Iterator[Sample | BadSample]:
    """Every record with a picture, in the order of their numbers; all of them are for training."""
    records = find_path(source, "train.rec", what="the record file")
    index = find_path(source, "train.idx", what="the record file's index")
    aligned = _aligned(source / "property")
    table = _index(index)
    size = records.stat().st_size
    last = int(table[:, 1].max())
    if last + _WORDS.size > size:
        raise LayoutError(
            f"{records} is cut short: it has {size} bytes and {index.name} names byte {last}; fetch it again"
        )
    # Unbuffered: a few bytes are read of each record, of millions.
    with records.open("rb", buffering=0) as file:
        for number, offset in table:
            key = f"{records.name}:{number}"
            try:
                header = read_header(file, int(offset))
            except ValueError as error:
                yield BadSample(key=key, reason=str(error))
                continue
            if not header.has_picture:
                continue
            yield Sample(
                key=key,
                picture=RecordPicture(path=records, offset=int(offset)),
                split="train",
                person=str(int(header.label)),
                landmarks=_POINTS if aligned else None,
            )


def _index(path: Path) -> NDArray[np.int64]:
    """Numbers and offsets [N, 2], in the order of the numbers."""
    words = np.empty((0, 0), np.int64)
    if path.stat().st_size:
        with contextlib.suppress(ValueError):
            words = np.loadtxt(path, dtype=np.int64, ndmin=2)
    if words.shape[1] != 2 or not len(words):
        raise LayoutError(f"{path} is no index of records (a number, a tab, an offset): fetch it again")
    return words[np.argsort(words[:, 0], kind="stable")]


def _aligned(path: Path) -> bool:
    """Whether the pictures have the size of aligned ones; `property` holds people, height, width."""
    try:
        _, height, width = (int(word) for word in path.read_text().split(","))
        return (height, width) == _ALIGNED
    except FileNotFoundError:
        raise LayoutError(f"the record file's property is missing: it belongs at {path}") from None
    except ValueError:
        raise LayoutError(f"{path} does not say `people,height,width`: fetch it again") from None


READER = Reader(
    name="glint360k",
    title="Glint360K (An et al., 2021), or another set in MXNet's record format",
    licence="non-commercial research",
    page="https://github.com/deepinsight/insightface/tree/master/recognition/_datasets_: "
    "downloads for non-commercial research",
    tasks=(),
    tree="""\
train.rec                                 records of MXNet
train.idx                                 a number and an offset a line
property                                  360232,112,112""",
    expected=Expected(counts={"train": 17091657}, files=("train.rec", "train.idx", "property")),
    read=read,
)
