"""Faces in MXNet's record files are found, whole or in parts, and opened in any process."""

import pickle
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.errors import InvalidInput
from training.data.reader import LayoutError
from training.data.readers import reader_of
from training.data.readers.glint360k import RecordPicture
from training.data.sample import BadSample, Sample

_MAGIC = struct.pack("<I", 0xCED7230A)


def _picture(seed: int) -> tuple[np.ndarray, bytes]:
    """A picture, and a PNG of it, so that what comes back can be compared."""
    pixels = np.random.default_rng(seed).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    done, encoded = cv2.imencode(".png", pixels[..., ::-1])
    assert done
    return pixels, encoded.tobytes()


def _record(content: bytes, *, labels: list[float]) -> bytes:
    """What stands in a record: one label in the head, or several behind it."""
    if len(labels) == 1:
        return struct.pack("<IfQQ", 0, labels[0], 7, 0) + content
    return struct.pack("<IfQQ", len(labels), 0.0, 7, 0) + struct.pack(f"<{len(labels)}f", *labels) + content


def _chunks(record: bytes) -> bytes:
    """A record as MXNet writes it: cut wherever its data has the magic at a multiple of 4 bytes."""
    cuts = [i for i in range(0, len(record) - 3, 4) if record[i : i + 4] == _MAGIC]
    parts, start = [], 0
    for cut in cuts:
        parts.append(record[start:cut])
        start = cut + 4
    parts.append(record[start:])
    kinds = [0] if len(parts) == 1 else [1, *([2] * (len(parts) - 2)), 3]
    return b"".join(
        _MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + b"\0" * (-len(part) % 4)
        for kind, part in zip(kinds, parts, strict=True)
    )


def _write(root: Path, records: list[bytes], *, property_text: str = "360232,112,112\n") -> None:
    root.mkdir(parents=True, exist_ok=True)
    offsets, content = [], b""
    for record in records:
        offsets.append(len(content))
        content += _chunks(record)
    (root / "train.rec").write_bytes(content)
    # Not in the order of the numbers: MXNet does not promise one.
    lines = [f"{i}\t{offset}\n" for i, offset in enumerate(offsets)]
    (root / "train.idx").write_text("".join(reversed(lines)))
    (root / "property").write_text(property_text)


def _read(source: Path) -> tuple[list[Sample], list[BadSample]]:
    entries = list(reader_of("glint360k").read(source))
    samples = [entry for entry in entries if isinstance(entry, Sample)]
    return samples, [entry for entry in entries if isinstance(entry, BadSample)]


def test_every_picture_comes_with_its_person_and_descriptions_are_passed_over(tmp_path: Path) -> None:
    pictures = [_picture(i) for i in range(3)]
    records = [
        _record(b"", labels=[4.0, 6.0]),  # the set: pictures are 1 to 3
        _record(pictures[0][1], labels=[17.0]),
        _record(pictures[1][1], labels=[360231.0, 0.0]),
        _record(pictures[2][1], labels=[17.0]),
        _record(b"", labels=[1.0, 2.0]),  # a person
        _record(b"", labels=[2.0, 4.0]),
    ]
    _write(tmp_path, records)
    samples, bad = _read(tmp_path)
    assert not bad
    assert [(sample.key, sample.split, sample.person) for sample in samples] == [
        ("train.rec:1", "train", "17"),
        ("train.rec:2", "train", "360231"),
        ("train.rec:3", "train", "17"),
    ]
    for sample, (pixels, _) in zip(samples, pictures, strict=True):
        assert callable(sample.picture)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(sample.picture))(), pixels)
        assert not sample.labels
        assert sample.landmarks is not None
        assert sample.landmarks.shape == (5, 2)


def test_records_that_hold_the_magic_itself_are_put_together(tmp_path: Path) -> None:
    pixels, encoded = _picture(0)
    # A private chunk before PNG's data holds the magic at multiples of 4 bytes of the record, twice in a row.
    head, body = encoded[:33], encoded[33:]
    data = b"\0" * ((-(24 + 33 + 8)) % 4) + _MAGIC + _MAGIC + b"end!" + _MAGIC
    chunk = struct.pack(">I", len(data)) + b"prVt" + data
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    record = _record(head + chunk + body, labels=[5.0])
    assert _chunks(record).count(_MAGIC) == 4
    _write(tmp_path, [_record(b"", labels=[2.0, 2.0]), record, _record(_picture(1)[1], labels=[6.0])])
    samples, bad = _read(tmp_path)
    assert not bad
    assert [sample.person for sample in samples] == ["5", "6"]
    assert callable(samples[0].picture)
    np.testing.assert_array_equal(samples[0].picture(), pixels)


def test_pictures_of_another_size_have_no_landmarks(tmp_path: Path) -> None:
    _write(tmp_path, [_record(_picture(0)[1], labels=[1.0])], property_text="5,160,160")
    (sample,), _ = _read(tmp_path)
    assert sample.landmarks is None


def test_what_is_missing_cut_short_or_malformed_is_named(tmp_path: Path) -> None:
    records = [_record(_picture(i)[1], labels=[float(i)]) for i in range(3)]
    for name in ("train.rec", "train.idx", "property"):
        _write(tmp_path / f"no_{name}", records)
        (tmp_path / f"no_{name}" / name).unlink()
        with pytest.raises(LayoutError, match=rf"is missing: it belongs at .*{name}$"):
            _read(tmp_path / f"no_{name}")
    _write(tmp_path, records)
    content = (tmp_path / "train.rec").read_bytes()
    for index in ("", "one two\n", "1\t2\t3\n"):
        (tmp_path / "train.idx").write_text(index)
        with pytest.raises(LayoutError, match="is no index of records"):
            _read(tmp_path)
    _write(tmp_path, records, property_text="many")
    with pytest.raises(LayoutError, match="does not say `people,height,width`"):
        _read(tmp_path)
    _write(tmp_path, records)
    (tmp_path / "train.rec").write_bytes(content[: len(content) // 2])
    with pytest.raises(LayoutError, match=r"train.rec is cut short: it has \d+ bytes"):
        _read(tmp_path)
    (tmp_path / "train.rec").write_bytes(b"\0" * 8 + content[8:])
    samples, bad = _read(tmp_path)
    assert [(entry.key, entry.reason) for entry in bad] == [("train.rec:0", "no record begins at byte 0")]
    assert len(samples) == 2


def test_a_record_whose_label_is_no_number_is_bad(tmp_path: Path) -> None:
    _write(tmp_path, [_record(_picture(0)[1], labels=[float("nan")]), _record(b"short", labels=[3.0])])
    samples, bad = _read(tmp_path)
    assert [sample.person for sample in samples] == ["3"]
    assert [entry.reason for entry in bad] == ["a record's label is no number"]


def test_a_record_that_is_no_picture_says_so_when_it_is_opened(tmp_path: Path) -> None:
    _write(tmp_path, [_record(b"no picture", labels=[1.0]), _record(_picture(0)[1], labels=[2.0])])
    (first, _), bad = _read(tmp_path)
    assert not bad
    assert callable(first.picture)
    with pytest.raises(InvalidInput):
        first.picture()
    rec = tmp_path / "train.rec"
    rec.write_bytes(rec.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is cut short"):
        RecordPicture(path=rec, offset=int((tmp_path / "train.idx").read_text().split()[1]))()
