"""The orientation of a photo in its Exif data. Source: Exif 2.3, section 4.6 (TIFF tags)."""

import struct


def exif_orientation(tiff: bytes) -> int:
    """The orientation 1 to 8 in an Exif block (a TIFF file of tags); 1 where there is no valid one."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    magic, at = struct.unpack_from(order + "HI", tiff, 2)
    if magic != 42 or at + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind = struct.unpack_from(order + "HH", tiff, entry)
        if tag == 0x0112:
            # A SHORT by the standard; some writers make it a LONG.
            (value,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), tiff, entry + 8)
            return int(value) if 1 <= value <= 8 else 1
    return 1
