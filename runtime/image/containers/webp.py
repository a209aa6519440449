"""WebP. Source: the WebP container specification."""

import struct

from runtime.image.containers.exif import exif_orientation
from runtime.image.containers.picture import Picture, cut_short, damaged, max_segments, too_fragmented


def is_webp(data: bytes) -> bool:
    """Whether the file begins as a WebP does."""
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def read_webp(data: bytes) -> Picture:
    """Reads every chunk up to the end of the picture."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise cut_short("WebP", data)
    size: tuple[int, int] | None = None
    orientation: int | None = None
    chunks, most, pixels, at = 0, max_segments(data), False, 12
    while at + 8 <= end:
        chunks += 1
        if chunks > most:
            raise too_fragmented("WebP", f"{most:,} chunks")
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + length]
        if at + 8 + length > end:
            raise damaged("WebP", f"the chunk at byte {at} runs over the end of the file")
        pixels = pixels or kind in (b"VP8 ", b"VP8L", b"ANMF")
        if size is None:
            size = _size(kind, body)
        if kind == b"EXIF" and orientation is None:
            orientation = exif_orientation(body.removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    if size is None or not pixels:
        raise damaged("WebP", "it holds no pixels")
    return Picture(
        format="WebP",
        width=size[0],
        height=size[1],
        orientation=orientation or 1,
        encoded=data[:end],
        pixel_bytes=4,  # each frame states whether it has alpha: the larger of the two
    )


def _size(kind: bytes, body: bytes) -> tuple[int, int]:
    """The picture's size from the file's first chunk, which must be one of the three that state it."""
    if kind == b"VP8X" and len(body) >= 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise damaged("WebP", "its size can't be read")
