"""JPEG. Source: ITU-T T.81, annex B."""

import re
import struct

import numpy as np

from runtime.errors import InvalidImage
from runtime.image.containers.exif import exif_orientation
from runtime.image.containers.picture import MAX_SEGMENTS, Picture, cut_short, damaged, too_fragmented

SIGNATURE = b"\xff\xd8"
# Progressive JPEGs have about ten scans, each of which fills the picture.
MAX_SCANS = 100

# A marker within compressed data: not a stuffed 00, a fill byte FF or a restart marker.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_FILL = re.compile(rb"\xff*")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOI, _EOI, _SOS, _DRI, _APP1 = 0xD8, 0xD9, 0xDA, 0xDD, 0xE1


def read_jpeg(data: bytes) -> Picture:
    """Walks the segments up to the end marker. What follows it (some cameras append) is of no concern."""
    frame: tuple[int, int] | None = None
    orientation: int | None = None
    restarts, scans, at = False, 0, 2
    for _ in range(MAX_SEGMENTS):
        marker, at = _marker(data, at)
        if marker == _EOI:
            break
        if marker in (0x01, _SOI) or marker < 0xC0 or (scans and marker in _FRAMES):
            raise damaged("JPEG", f"an unexpected marker {marker:02X} stands before byte {at}")
        length = int.from_bytes(data[at : at + 2], "big")
        if at + max(length, 2) > len(data):
            raise cut_short("JPEG", data)
        if length < 2:
            raise damaged("JPEG", f"the segment at byte {at} has no length")
        segment = data[at + 2 : at + length]
        at += length
        if marker in _FRAMES and frame is None:
            frame = _frame(segment, marker=marker)
        elif marker == _DRI:
            restarts = any(segment[:2])
        elif marker == _APP1 and segment.startswith(b"Exif\0\0") and orientation is None:
            orientation = exif_orientation(segment[6:])
        elif marker == _SOS:
            if frame is None:
                raise damaged("JPEG", "its pixels come before its size")
            at = _scan_end(data, at, restarts=restarts)
            scans += 1
            if scans > MAX_SCANS:
                raise too_fragmented("JPEG", f"{MAX_SCANS} scans")
    else:
        raise too_fragmented("JPEG", f"{MAX_SEGMENTS:,} segments")
    if frame is None or not scans:
        raise damaged("JPEG", "it holds no pixels")
    return Picture(format="JPEG", width=frame[0], height=frame[1], orientation=orientation or 1, encoded=data)


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The marker at a position (after any fill bytes) and the position behind it."""
    start = at
    fill = _FILL.match(data, at)
    at = fill.end() if fill else at
    if at >= len(data):
        raise cut_short("JPEG", data)
    if at == start:
        raise damaged("JPEG", f"byte {at} should begin a segment and does not")
    return data[at], at + 1


def _frame(segment: bytes, *, marker: int) -> tuple[int, int]:
    if len(segment) < 6:
        raise damaged("JPEG", "its frame header is too short")
    bits, height, width, components = struct.unpack(">BHHB", segment[:6])
    if bits != 8 or components not in (1, 3, 4) or marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
        raise InvalidImage(
            f"This JPEG's kind ({bits} bits, {components} components, type {marker:02X}) can't be decoded; "
            "save it as an ordinary 8-bit JPEG."
        )
    return width, height


def _scan_end(data: bytes, at: int, *, restarts: bool) -> int:
    """Where the compressed data from `at` ends. Restart markers must count 0 to 7 over and over."""
    found = _MARKER.search(data, at)
    if found is None:
        raise cut_short("JPEG", data)
    end = found.start()
    scan = np.frombuffer(data, np.uint8, count=end - at, offset=at)
    counted = scan[1:][(scan[:-1] == 0xFF) & (scan[1:] & 0xF8 == 0xD0)] & 7
    if counted.size and (not restarts or (counted != np.arange(counted.size) % 8).any()):
        raise damaged("JPEG", "its restart markers are out of order")
    return end
