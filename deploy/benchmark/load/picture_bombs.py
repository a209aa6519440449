"""JPEG files that are small and cost a decoder as much as thousands of photos."""

import io

from PIL import Image

_END = b"\xff\xd9"


def progressive(*, width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG of one grey, whose file goes over all of its pixels `scans` times.

    The scans after the first few are copies of one that refines coefficients, which a decoder applies to
    every block though nothing changes.
    """
    file = io.BytesIO()
    Image.new("L", (width, height), 128).save(file, "JPEG", progressive=True, quality=50)
    data = file.getvalue()
    parts = _scans(data)
    assert len(parts) > 1, "the file has one scan only"
    body = data[: data.index(b"\xff\xda")]
    last = parts[-1]
    return body + b"".join(parts) + last * max(0, scans - len(parts)) + _END


def _scans(data: bytes) -> list[bytes]:
    """Each scan of a JPEG with its tables: from one end of entropy-coded data to the next."""
    starts = []
    at = data.index(b"\xff\xda")
    while at >= 0:
        starts.append(at)
        at = data.find(b"\xff\xda", at + 2)
    ends = [*starts[1:], data.rindex(_END)]
    return [data[start:end] for start, end in zip(starts, ends, strict=True)]
